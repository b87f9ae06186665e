"""Pictures of PDF pages, drawn by a child process: a page that breaks the renderer or takes too long costs only itself.

Run as a module it is that child: the file comes on standard input, the picture goes to standard output. So nothing is
imported here that a picture does not need, and a few children draw at a time: on a busy machine the pages of a long
document would otherwise spend each other's time on starting.
"""

from __future__ import annotations

import base64
import contextlib
import io
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from nlp_compliance.errors import NotThereError, UnreadableFileError

if TYPE_CHECKING:
    from nlp_compliance.store.files import FileStore
    from nlp_compliance.web.desk.view import Outline

PDF = b"%PDF-"
_SCALE = 1.5
# For starting a child and drawing one page; waiting for others does not count.
_TIMEOUT_S = 30
_AT_A_TIME = threading.BoundedSemaphore(2)
_MEMORY_BYTES = 2 << 30
_MOST_PIXELS = 20_000_000


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A page as PNG; `width` and `height` are the page's in points, the unit of its boxes."""

    png: bytes
    width: float
    height: float


@lru_cache(maxsize=32)
def of_stored(files: FileStore, digest: str, page: int) -> PagePicture:
    """As `draw`, of a stored file; pictures are remembered, files are not. Raises NotThereError for one that is no PDF."""
    data = files.get(digest)
    if not data.startswith(PDF):
        raise NotThereError(f"该文档没有可显示的第{page}页")
    return draw(data, page)


def draw(data: bytes, page: int) -> PagePicture:
    """The picture of one page, counted from 1. Raises UnreadableFileError."""
    command = [sys.executable, "-m", "nlp_compliance.web.desk.pagepicture", str(page)]
    try:
        with _AT_A_TIME:
            done = subprocess.run(command, input=data, capture_output=True, timeout=_TIMEOUT_S, check=True)  # noqa: S603
        head, _, png = done.stdout.partition(b"\n")
        width, height = map(float, head.split())
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UnreadableFileError(f"第{page}页无法显示，请下载原始文件查看") from error
    return PagePicture(png, width, height)


def as_svg(picture: PagePicture, outlines: Sequence[Outline]) -> str:
    """The page with a numbered box for every finding; nothing in it comes from the file but the picture."""
    colours = {"high": "#b3261e", "medium": "#8a5a00", "low": "#0b6584", "info": "#3457b1"}
    boxes = "".join(
        f'<rect x="{o.x:.1f}" y="{o.y:.1f}" width="{o.width:.1f}" height="{o.height:.1f}" fill="{colours[o.severity]}" '
        f'fill-opacity=".08" stroke="{colours[o.severity]}" stroke-width="1.2"/>'
        f'<text x="{o.x:.1f}" y="{o.y - 2:.1f}" font-size="11" font-family="sans-serif" font-weight="700" '
        f'fill="{colours[o.severity]}">{o.number}</text>'
        for o in outlines
    )
    size = f'width="{picture.width:.1f}" height="{picture.height:.1f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {picture.width:.1f} {picture.height:.1f}" {size}>'
        f'<image href="data:image/png;base64,{base64.b64encode(picture.png).decode()}" {size}/>{boxes}</svg>'
    )


def _child(page: int) -> None:
    import pypdfium2 as pdfium

    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    pdf = pdfium.PdfDocument(sys.stdin.buffer.read())
    own = pdf[page - 1]
    width, height = own.get_size()
    scale = min(_SCALE, (_MOST_PIXELS / max(1.0, width * height)) ** 0.5)
    stream = io.BytesIO()
    own.render(scale=scale).to_pil().save(stream, "PNG")
    sys.stdout.buffer.write(f"{width} {height}\n".encode() + stream.getvalue())


if __name__ == "__main__":
    _child(int(sys.argv[1]))
