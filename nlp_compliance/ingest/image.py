"""Pictures: png, jpg, webp, bmp, tiff. Tall posters keep their boxes; doubtful regions are listed, not dropped."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from nlp_compliance.errors import LimitExceededError, MissingExtraError, UnreadableFileError
from nlp_compliance.ingest import ocr
from nlp_compliance.ingest.assemble import Assembly
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.records import Document, Source

MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}
# Icons, avatars and rules carry no copy.
_SMALLEST_SIDE = 40
# A strip this long may hold a line of print, unless it is thinner than letters.
_BANNER = 160
_THINNEST = 16
_ORIENTATION = 0x0112
# Orientations that show width as height.
_TURNED = (5, 6, 7, 8)


def read_image(data: bytes, name: str, limits: Limits) -> Document:
    """The text of one picture. Raises UnreadableFileError, LimitExceededError or MissingExtraError."""
    if not limits.ocr:
        raise MissingExtraError(f"{name}: reading pictures is switched off; set ocr to true")
    pixels, media_type = pixels_of(data, name, limits)
    assembly = Assembly()
    frames = _frames(data)
    if media_type == MEDIA_TYPES["TIFF"] and frames > 1:
        # Scanners and fax machines put all pages into one file.
        limits.check(name, frames, limits.max_pages, "number of pages")
        for number in range(frames):
            sheet, _ = pixels_of(data, name, limits, frame=number)
            add_picture(assembly, sheet, f"第{number + 1}页", page=number + 1)
    else:
        add_picture(assembly, pixels, "图片")
        if frames > 1:
            assembly.unread(f"图片{_first_only(frames, media_type)}")
    return assembly.document(name, Source(path=name, media_type=media_type))


def _frames(data: bytes) -> int:
    try:
        with Image.open(io.BytesIO(data), formats=list(MEDIA_TYPES)) as picture:
            return int(getattr(picture, "n_frames", 1))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 1


def _first_only(frames: int, media_type: str) -> str:
    if media_type in (MEDIA_TYPES["JPEG"], MEDIA_TYPES["TIFF"]):
        return f"含有{frames}幅图，只识别了第一幅"
    return "是动图，只识别了第一帧"


def _media_type(picture: Image.Image) -> str:
    """A photo behind which a phone has put another, as of the brightness, is a JPEG; Pillow has a name of its own for it."""
    return MEDIA_TYPES["JPEG" if picture.format == "MPO" else picture.format or "PNG"]


def pixels_of(data: bytes, name: str, limits: Limits, *, frame: int = 0) -> tuple[npt.NDArray[np.uint8], str]:
    """(height, width, 3) pixels, upright, and media type; the size is checked before anything is unpacked."""
    try:
        with warnings.catch_warnings():
            # The pixel limit below is the bound; Pillow's own warning would say the same twice.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=list(MEDIA_TYPES)) as picture:
                if frame:
                    picture.seek(frame)
                limits.check(name, picture.width * picture.height, limits.max_pixels, "pixels")
                picture.load()
                media_type = _media_type(picture)
                return np.asarray(_on_white(_upright(picture))), media_type
    except Image.DecompressionBombError as error:
        # Pillow refuses the largest on its own, before our bound is asked.
        raise LimitExceededError(f"{name}: too many pixels ({error}); allowed: {limits.max_pixels}") from error
    except (UnidentifiedImageError, OSError, EOFError, SyntaxError, ValueError) as error:
        raise UnreadableFileError(f"{name}: the picture is broken ({error}); export it again as png or jpg") from error


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as browsers show it: (width, height), turned as the camera was held, and media type."""

    size: tuple[int, int]
    media_type: str


def shown(data: bytes) -> Shown | None:
    """How browsers show a picture, or None where they show none; nothing is unpacked."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG", "WEBP"]) as picture:
            width, height = picture.size
            size = (height, width) if picture.getexif().get(_ORIENTATION) in _TURNED else (width, height)
            return Shown(size, _media_type(picture))
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return None


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as the camera says it was held; boxes then fit what people see."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:
        # Broken notes of a camera are no reason not to read the picture.
        return picture


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")


def _may_hold_print(pixels: npt.NDArray[np.uint8]) -> bool:
    narrow, wide = sorted(pixels.shape[:2])
    return bool(narrow >= _SMALLEST_SIDE or (narrow >= _THINNEST and wide >= _BANNER))


def add_picture(assembly: Assembly, pixels: npt.NDArray[np.uint8], what: str, *, page: int | None = None) -> None:
    """The lines of one picture as blocks; `what` names it in Chinese where something is unread or doubtful."""
    if not _may_hold_print(pixels):
        return
    doubtful = 0
    for line in ocr.read_lines(pixels):
        doubtful += line.confidence < ocr.DOUBTFUL
        assembly.add(line.text, "ocr_line", page=page, box=line.box, confidence=line.confidence)
    if doubtful:
        assembly.unread(f"{what}有{doubtful}处文字识别把握不足，请对照原图")


def add_embedded(assembly: Assembly, data: bytes, what: str, limits: Limits, *, page: int | None = None) -> None:
    """A picture inside another file; one that cannot be read is named in the coverage and loses nothing beside it."""
    if not limits.ocr or not ocr.available():
        assembly.unread(f"{what}未识别文字（未安装或未启用文字识别）")
        return
    try:
        pixels, media_type = pixels_of(data, what, limits)
    except Exception as error:
        assembly.unread(f"{what}无法读取（{error}）")
        return
    add_picture(assembly, pixels, what, page=page)
    if _may_hold_print(pixels) and (frames := _frames(data)) > 1:
        assembly.unread(what + _first_only(frames, media_type))
