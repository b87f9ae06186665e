"""Uploaded files in a content-addressed folder: the name on disk is the SHA-256 of the bytes, never the user's name."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from nlp_compliance.errors import StoreError

_DIGEST = re.compile(r"[0-9a-f]{64}")


class FileStore:
    """Files below `folder`. Raises StoreError when the disk refuses or a file is not the one that was stored."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, data: bytes) -> str:
        """The digest under which the bytes are stored; they are on the disk when this returns."""
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        try:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, data)
        except OSError as error:
            raise StoreError(
                f"the file could not be stored ({error.strerror}); free space and upload it again"
            ) from error
        return digest

    def get(self, digest: str) -> bytes:
        try:
            data = self._path(digest).read_bytes()
        except OSError as error:
            raise StoreError(f"file {digest} is not in the store; restore it from a backup") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise StoreError(f"file {digest} was changed on disk; restore it from a backup")
        return data

    def remove(self, digest: str) -> None:
        self._path(digest).unlink(missing_ok=True)

    def digests(self, before: datetime) -> set[str]:
        """The digests of all files that were stored before then."""
        return {path.name for path in self._older(before) if _DIGEST.fullmatch(path.name)}

    def remove_drafts(self, before: datetime) -> None:
        """Removes what writes that broke off before then left behind."""
        for path in self._older(before):
            if path.name.startswith(tempfile.gettempprefix()):
                path.unlink(missing_ok=True)

    def _older(self, before: datetime) -> Iterator[Path]:
        for path in self.folder.glob("??/*"):
            # At this moment a draft may go to its place, or another process may remove the file.
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before.timestamp():
                    yield path

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise StoreError(f"{digest!r} is no SHA-256 digest")
        return self.folder / digest[:2] / digest


def _write(path: Path, data: bytes) -> None:
    """Puts the file in its place whole or not at all, also when the machine loses power."""
    handle, draft = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, path)
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
