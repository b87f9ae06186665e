"""WeChat article pages and other saved HTML.

WeChat puts the title in `#activity-name`, the account in `#js_name`, the day in `#publish_time` and the body in
`#js_content`; pictures wait in `data-src` until they are scrolled to. Of other pages the whole body is read: an
extractor that drops footers would drop the fine print. Text that a reader cannot see is kept and marked
`visible=False`, since it is published all the same.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from urllib.parse import unquote_to_bytes

from lxml import html
from lxml.etree import LxmlError

from nlp_compliance.errors import UnreadableFileError
from nlp_compliance.ingest.assemble import Assembly
from nlp_compliance.ingest.image import add_embedded
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.plain import decode
from nlp_compliance.records import Document, Source

# Bytes of a picture by its address in the page; None where they are not at hand.
FindPicture = Callable[[str], bytes | None]

_BREAKS = frozenset(
    [
        "p",
        "div",
        "section",
        "li",
        "tr",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "br",
        "blockquote",
        "table",
        "ul",
        "ol",
        "article",
        "header",
        "footer",
        "figure",
        "figcaption",
    ]
)
_SKIP = frozenset(["script", "style", "noscript", "template", "head"])
_HIDDEN = re.compile(r"display:none|visibility:hidden|opacity:0(?:;|$)|font-size:[01](?:\.\d+)?px", re.I)
_DATE = re.compile(r"(20\d\d)\D{1,3}(\d{1,2})\D{1,3}(\d{1,2})")
_CREATED = re.compile(rb"""(?:create_time|createTime|ct)\s*[=:]\s*["'](\d{10}|20\d\d-\d\d-\d\d)""")
# Cards and players show their words from attributes.
_CARD_WORDS = ("data-title", "data-nickname", "data-desc", "data-miniprogram-title", "data-signature", "name")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of text ("\\n" between block elements), or a picture with the addresses it may be found under."""

    text: str
    visible: bool
    kind: str = "paragraph"
    addresses: tuple[str, ...] = ()


def looks_like_html(data: bytes) -> bool:
    head = data[:2048].lstrip().lower()
    return head.startswith((b"<!doctype html", b"<html")) or b"<body" in head or b'id="js_content"' in data


def read_html(
    data: bytes,
    *,
    identifier: str,
    path: str | None = None,
    limits: Limits,
    find_picture: FindPicture = lambda _: None,
) -> Document:
    """The document of one saved page. Raises UnreadableFileError when there is no markup to parse."""
    try:
        tree = html.document_fromstring(decode(data))
    except (LxmlError, ValueError) as error:
        raise UnreadableFileError(f"no HTML can be parsed ({error}); save the page again from the browser") from error
    body = _first(tree, "js_content")
    if body is None:
        body = tree.find("body")
    title = _text_of(_first(tree, "activity-name")) or _text_of(tree.find(".//title"))
    assembly = Assembly()
    assembly.add(title, "title")
    _assemble(assembly, _pieces(body if body is not None else tree, visible=True), limits, find_picture)
    source = Source(
        path=path,
        media_type="text/html",
        title=title or None,
        account=_text_of(_first(tree, "js_name")) or None,
        author=_meta(tree, "author") or None,
        url=_meta(tree, "og:url") or None,
        published=_published(tree, data),
    )
    return assembly.document(identifier, source)


def has_pictures(data: bytes) -> bool:
    """Whether the page shows pictures at all; such pages are read where OCR may run."""
    return b"<img" in data or b"<IMG" in data


def inline_picture(address: str) -> bytes | None:
    """The bytes of a `data:` address."""
    head, comma, body = address.partition(",")
    if not comma or not head.startswith("data:image/"):
        return None
    try:
        return base64.b64decode(body, validate=False) if head.endswith(";base64") else unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        return None


def _first(tree: html.HtmlElement, identifier: str) -> html.HtmlElement | None:
    return tree.find(f".//*[@id='{identifier}']")


def _text_of(element: html.HtmlElement | None) -> str:
    return "" if element is None else " ".join(element.text_content().split())


def _meta(tree: html.HtmlElement, name: str) -> str:
    for attribute in ("name", "property"):
        element = tree.find(f".//meta[@{attribute}='{name}']")
        if element is not None:
            return str(element.get("content") or "").strip()
    return ""


def _published(tree: html.HtmlElement, data: bytes) -> date | None:
    shown = _DATE.search(_text_of(_first(tree, "publish_time")) or _meta(tree, "article:published_time"))
    if shown:
        return _date(*map(int, shown.groups()))
    created = _CREATED.search(data)
    if created and created.group(1).isdigit():
        return date.fromtimestamp(int(created.group(1)))
    return date.fromisoformat(created.group(1).decode()) if created else None


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _pieces(element: html.HtmlElement, *, visible: bool) -> Iterator[_Piece]:
    """Text and pictures in reading order."""
    if not isinstance(element.tag, str) or element.tag in _SKIP:
        return
    visible = visible and not _HIDDEN.search((element.get("style") or "").replace(" ", ""))
    visible = visible and element.get("hidden") is None
    breaks = element.tag in _BREAKS
    if breaks:
        yield _Piece("\n", visible)
    if element.tag == "img":
        addresses = tuple(a for a in (element.get("src"), element.get("data-src")) if a)
        if addresses:
            yield _Piece("", visible, "picture", addresses)
    elif element.tag.startswith(("mp", "qqmusic")):
        words = (element.get(name) for name in _CARD_WORDS)
        yield _Piece(" ".join(dict.fromkeys(w.strip() for w in words if w and w.strip())), visible, "card")
    if element.text:
        yield _Piece(element.text, visible)
    for child in element:
        yield from _pieces(child, visible=visible)
        if child.tail:
            yield _Piece(child.tail, visible)
    if breaks:
        yield _Piece("\n", visible)
    elif element.tag in ("td", "th"):
        yield _Piece(" | ", visible)


def _assemble(assembly: Assembly, pieces: Iterator[_Piece], limits: Limits, find_picture: FindPicture) -> None:
    current, seen, pictures, absent = "", True, 0, 0

    def flush() -> None:
        nonlocal current
        assembly.add(" ".join(current.split()).strip(" |"), visible=seen)
        current = ""

    for piece in pieces:
        if piece.kind == "picture":
            flush()
            pictures += 1
            found = (inline_picture(a) or find_picture(a) for a in piece.addresses)
            data = next((d for d in found if d), None)
            if data is None:
                absent += 1
            else:
                add_embedded(assembly, data, f"第{pictures}张图片", limits)
            continue
        if piece.text == "\n" or piece.kind == "card" or piece.visible != seen:
            flush()
            seen = piece.visible
        if piece.kind == "card":
            assembly.add(piece.text, "card", visible=piece.visible)
        elif piece.text != "\n":
            current += piece.text
    flush()
    if absent:
        assembly.unread(f"{absent}张图片未识别文字")
