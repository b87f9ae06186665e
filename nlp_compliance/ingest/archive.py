"""zip: members in order, with bounds on number, size, ratio and nesting. Nothing is ever written to disk."""

from __future__ import annotations

import contextlib
import io
import lzma
import posixpath
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator

from nlp_compliance.errors import InputError, LimitExceededError, UnreadableFileError
from nlp_compliance.ingest.limits import Limits

_CHUNK = 1 << 16
# Folders and hidden files that operating systems add to archives.
_NOISE = ("__MACOSX/", ".DS_Store", "Thumbs.db")


def members(data: bytes, name: str, limits: Limits) -> Iterator[tuple[str, bytes | InputError]]:
    """(member name, bytes or why not). Raises UnreadableFileError or LimitExceededError for the archive itself."""
    archive = _opened(data, name)
    entries = [e for e in archive.infolist() if not e.is_dir() and not _is_noise(e.filename)]
    limits.check(name, len(entries), limits.max_members, "number of members")
    left = limits.max_unpacked_bytes
    times: Counter[str] = Counter()
    for entry in entries:
        member = _name(entry)
        times[member] += 1
        if times[member] > 1:
            # An archive may hold several members of one name; each needs a place of its own.
            stem, suffix = posixpath.splitext(member)
            member = f"{stem}（{times[member]}）{suffix}"
        try:
            content = _unpacked(archive, entry, member, left, limits)
        except InputError as error:
            yield member, error
            continue
        left -= len(content)
        yield member, content


def check_package(data: bytes, name: str, limits: Limits) -> None:
    """Bounds on a docx, pptx or xlsx before its own library unpacks it; the declared sizes are checked by unpacking."""
    left = limits.max_unpacked_bytes
    archive = _opened(data, name)
    limits.check(name, len(archive.infolist()), limits.max_members, "number of parts")
    for entry in archive.infolist():
        if not entry.is_dir():
            left -= sum(len(chunk) for chunk in _chunks(archive, entry, _name(entry), left, limits))


def _opened(data: bytes, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise UnreadableFileError(f"{name}: the archive is broken ({error}); pack it again as zip") from error


def _is_noise(filename: str) -> bool:
    return any(part in filename for part in _NOISE)


def _name(entry: zipfile.ZipInfo) -> str:
    """The member's name; old Chinese Windows tools write GBK without saying so."""
    name = entry.filename
    if not entry.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("gb18030")
    # Names are labels here, never paths to write to; still nobody should read `../` as a place.
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, member: str, left: int, limits: Limits) -> bytes:
    content = b"".join(_chunks(archive, entry, member, left, limits))
    limits.check(member, len(content), limits.max_bytes, "size in bytes")
    return content


def _chunks(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, member: str, left: int, limits: Limits
) -> Iterator[bytes]:
    if entry.flag_bits & 0x1:
        raise UnreadableFileError(f"{member}: the member is encrypted; pack it again without a password")
    done = 0
    try:
        with archive.open(entry) as stream:
            while chunk := stream.read(_CHUNK):
                done += len(chunk)
                if done > left:
                    raise LimitExceededError(
                        f"{member}: the archive unpacks to more than {limits.max_unpacked_bytes} bytes "
                        "(max_unpacked_bytes); split it"
                    )
                # Small members compress well by nature; only large ones can do harm.
                if done > 1_000_000 and done > entry.compress_size * limits.max_ratio:
                    raise LimitExceededError(
                        f"{member}: unpacks to more than {limits.max_ratio} times its size (max_ratio); "
                        "it looks like an archive bomb"
                    )
                yield chunk
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError) as error:
        raise UnreadableFileError(f"{member}: the member is broken ({error}); pack it again") from error
