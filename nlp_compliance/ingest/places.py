"""Where files lie: a path of this machine, or an address of any file system that fsspec knows (`s3://`, `memory://`, …).

Paths of this machine stay plain `Path` objects; everything else is a `UPath`, which has the same methods. The packages
of cloud file systems (s3fs, gcsfs, adlfs, ossfs, …) are the user's own choice and take their credentials as they do.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from nlp_compliance.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from upath import UPath

Place: TypeAlias = "Path | UPath"
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HERE = ("file", "local")
# Pages of the web have a door of their own, with its own bounds (`ingest/fetch.py`).
_WEB = ("http", "https")


class Entry(NamedTuple):
    """One name in a folder."""

    name: str
    is_folder: bool
    is_file: bool


def place(text: str) -> Place:
    """The place that the user means. `file://` is this machine.

    Raises InputError for an address of an unknown kind, MissingExtraError naming the package that reaches it.
    """
    address = _ADDRESS.fullmatch(text)
    if address is None:
        return Path(text)
    scheme, rest = address.group(1).lower(), address.group(2)
    if scheme in _HERE:
        return Path(rest)
    if scheme in _WEB:
        raise InputError(f"{text}: pages of the web are not scanned; save them as files, or give one to `check`")
    # Imported when the first address comes: most scans hold none.
    import fsspec
    from upath import UPath

    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise MissingExtraError(f"{text}: {error}; install that package with pip beside nlp-compliance") from error
    except ValueError as error:
        raise InputError(f"{text}: no file system is called {scheme}://; see the list of fsspec") from error
    return UPath(text)


def shown(path: Place) -> str:
    """The place as text that every encoding can hold: bytes of a name that are no UTF-8 become `\\x..`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace") if isinstance(path, Path) else str(path)


def canonical(path: Place) -> Place:
    """The one name of a place that has many (`a`, `./a`, `b/../a`, by way of a link); a link to a file is a file of its own."""
    if not isinstance(path, Path):
        return path
    return path.resolve() if path.is_dir() else path.parent.resolve() / path.name


def is_far(path: Place) -> bool:
    """Whether the place is reached by fsspec, not by this machine's own file system."""
    return not isinstance(path, Path)


def is_there(path: Place) -> bool:
    """Whether the file or folder exists. Raises InputError where the question itself fails (network, credentials)."""
    try:
        return path.exists()
    except Exception as error:
        if not is_far(path):
            raise
        # Every file system has errors of its own.
        raise InputError(
            f"{path}: cannot be reached ({type(error).__name__}: {error}); check address, network and credentials"
        ) from error


def entries(folder: Place) -> list[Entry]:
    """What stands in a folder, in order of name; a link to a folder or to nothing counts as a file that cannot be read."""
    if isinstance(folder, Path):
        with os.scandir(folder) as found:
            return sorted(Entry(e.name, e.is_dir(follow_symlinks=False), e.is_file() or e.is_symlink()) for e in found)
    own = folder.path.rstrip("/")
    listed = [(str(e["name"]).rstrip("/"), e["type"]) for e in folder.fs.ls(folder.path, detail=True)]
    # Object stores may keep an empty object under the folder's own name.
    return sorted(
        Entry(name.rpartition("/")[2], kind == "directory", kind == "file") for name, kind in listed if name != own
    )


def matching(pattern: Place) -> list[Place]:
    """Files and folders that a pattern with `*`, `**`, `?` or `[…]` stands for, in order of name."""
    if isinstance(pattern, Path):
        return [Path(found) for found in sorted(glob.glob(str(pattern), recursive=True))]
    return [place(pattern.fs.unstrip_protocol(found)) for found in sorted(pattern.fs.glob(pattern.path))]


def below(folder: Place, pattern: str) -> list[Place]:
    """Files below a folder whose path from there fits the pattern; none where there is no folder."""
    if isinstance(folder, Path):
        return sorted(folder.glob(pattern))
    return [place(folder.fs.unstrip_protocol(found)) for found in folder.fs.glob(f"{folder.path}/{pattern}")]


@contextmanager
def on_disk(path: Place) -> Iterator[Path]:
    """The file on this machine, for a reader that jumps about in it: a far one as a copy that is gone afterwards."""
    if isinstance(path, Path):
        yield path
        return
    with TemporaryDirectory(prefix="nlp-compliance-") as folder:
        copy = Path(folder) / path.name
        path.fs.get_file(path.path, str(copy))
        yield copy


@contextmanager
def whole(target: Place) -> Iterator[Path]:
    """A file of this machine to write; afterwards it stands as `target`, complete or not at all, and on the disk.

    What is written is dropped when the block raises. A far target is sent in one piece. Raises OSError.
    """
    if not isinstance(target, Path):
        with TemporaryDirectory(prefix="nlp-compliance-") as folder:
            copy = Path(folder) / target.name
            yield copy
            try:
                target.fs.put_file(str(copy), target.path)
            except Exception as error:
                # Every file system has errors of its own; those who write handle OSError.
                raise OSError(f"{target}: cannot be written ({type(error).__name__}: {error})") from error
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # Hidden, so that nobody takes it for a result.
    draft = target.with_name(f".{target.name}.draft")
    try:
        yield draft
        _settle(draft)
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    _settle(target.parent)


def _settle(path: Path) -> None:
    """Returns when the file, or the names in the folder, are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
