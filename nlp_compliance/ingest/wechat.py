"""WeChat article pages and other saved HTML.

WeChat puts the title in `#activity-name`, the account in `#js_name`, the day in `#publish_time` and the body in
`#js_content`; pictures wait in `data-src` until they are scrolled to. Messages of pictures or of text alone have all of
it in their scripts until a browser runs them (`scripted`). Of other pages the whole body is read and what
stands around the article is marked. Text that a reader cannot see is kept and marked `visible=False`, since it is
published all the same.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from datetime import date
from html import unescape
from itertools import chain
from urllib.parse import unquote_to_bytes

from lxml import html
from lxml.etree import LxmlError

from nlp_compliance.errors import UnreadableFileError
from nlp_compliance.ingest import scripted
from nlp_compliance.ingest.article import Article, article_of
from nlp_compliance.ingest.assemble import Assembly
from nlp_compliance.ingest.days import stamped_day, zoned_day
from nlp_compliance.ingest.image import add_embedded
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.markup import Piece, pieces
from nlp_compliance.ingest.plain import decode, marked_encoding
from nlp_compliance.records import Document, Source

_BREAK = Piece("\n", True)

# Bytes of a picture by its address in the page; None where they are not at hand.
FindPicture = Callable[[str], bytes | None]

_BODIES = ("js_content", "js_image_content")
# Where a browser lays out the pictures of a message, above its words.
_GALLERY = "page_top_area"
_DATE = re.compile(r"(20\d\d)\D{1,3}(\d{1,2})\D{1,3}(\d{1,2})")
_CREATED = re.compile(
    rb"""\b(?:create_time|createTime|ct|publish_time)\s*[=:]\s*(?:\w+\()?["'](\d{10}|20\d\d-\d\d-\d\d)"""
)
_NICKNAME = re.compile(r"""\bnick_?name\s*[=:]\s*(?:\w+\()?["']([^"']{1,80})["']""")
_SAVED_FROM = re.compile(r"saved from url=\(\d+\)(\S+)")


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
    page = decode(data)
    try:
        tree = html.document_fromstring(_undeclared(page), parser=html.HTMLParser(huge_tree=True))
    except (LxmlError, ValueError) as error:
        raise UnreadableFileError(f"no HTML can be parsed ({error}); save the page again from the browser") from error
    bodies = [b for name in _BODIES if (b := _first(tree, name)) is not None]
    # Picture messages have both, the first of them empty.
    body = next((b for b in bodies if len(b) or _text_of(b)), None)
    late = [] if body is not None else list(scripted.copies(page))
    article = Article() if bodies or late else article_of(page)
    title = _text_of(_first(tree, "activity-name")) or _meta(tree, "og:title") or article.title
    title = title or _text_of(tree.find(".//title"))
    assembly = Assembly()
    assembly.add(title, "title")
    gallery = _gallery(tree, page) if body is None or _first(tree, "js_image_content") is not None else ()
    words = chain.from_iterable(chain(pieces(copy), [_BREAK]) for copy in late)
    if not bodies:
        # No page of WeChat's, or one that its scripts have yet to fill.
        body = next(tree.iter("body"), tree)
    rest = pieces(body) if body is not None else ()
    _assemble(assembly, chain(gallery, words, rest), limits, find_picture, article)
    if assembly.characters <= len(title) + 1:
        # A message that a browser has never shown may hold its words in the head of the page alone.
        assembly.add(scripted.unescaped(_meta(tree, "og:description") or _meta(tree, "description")))
    source = Source(
        path=path,
        media_type="text/html",
        title=title or None,
        account=_text_of(_first(tree, "js_name")) or _scripted(_NICKNAME, page) or article.account or None,
        author=_text_of(_first(tree, "js_author_name")) or _meta(tree, "author") or article.author or None,
        url=_meta(tree, "og:url") or _scripted(_SAVED_FROM, page[:4096]) or article.url or None,
        published=_published(tree, data) or article.published,
    )
    return assembly.document(identifier, source)


def has_pictures(data: bytes) -> bool:
    """Whether the page shows pictures at all, or may; such pages are read where OCR may run."""
    return marked_encoding(data) not in (None, "utf-8-sig") or any(
        mark in data for mark in (b"<img", b"<IMG", b"url(", b"poster=", b"<object", scripted.MARK)
    )


def _gallery(tree: html.HtmlElement, page: str) -> Iterable[Piece]:
    """The pictures of a message: as laid out by a browser that has shown it, otherwise as its scripts list them."""
    shown = _first(tree, _GALLERY)
    found = [piece for piece in pieces(shown) if piece.kind == "picture"] if shown is not None else []
    return found or [Piece("", True, "picture", (address,)) for address in scripted.pictures(page)]


def inline_picture(address: str) -> bytes | None:
    """The bytes of a `data:` address."""
    head, comma, body = address.partition(",")
    if not comma or not head.startswith("data:image/"):
        return None
    try:
        return base64.b64decode(body, validate=False) if head.endswith(";base64") else unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        return None


def _undeclared(page: str) -> str:
    """The page without an XML declaration, which lxml refuses in text that is already decoded."""
    return re.sub(r"^\s*<\?xml[^>]*\?>", "", page, count=1)


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


def _scripted(pattern: re.Pattern[str], page: str) -> str:
    found = pattern.search(page)
    return unescape(found.group(1)).strip() if found else ""


def _published(tree: html.HtmlElement, data: bytes) -> date | None:
    shown = _text_of(_first(tree, "publish_time")) or _meta(tree, "article:published_time")
    if (day := zoned_day(shown)) is not None:
        return day
    if found := _DATE.search(shown):
        return _date(*map(int, found.groups()))
    created = _CREATED.search(data)
    if created and created.group(1).isdigit():
        return stamped_day(int(created.group(1)))
    return _date(*map(int, created.group(1).split(b"-"))) if created else None


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _assemble(
    assembly: Assembly, stream: Iterable[Piece], limits: Limits, find_picture: FindPicture, article: Article
) -> None:
    current, guides, seen, pictures, absent = "", "", True, 0, 0
    # A page that loads pictures late names each again for browsers without scripts.
    known: set[str] = set()

    def flush() -> None:
        nonlocal current, guides
        text = " ".join(current.split()).strip(" |")
        assembly.add(text, "page_frame" if article.frames(text) else "paragraph", visible=seen)
        assembly.add(guides, visible=seen)
        current = guides = ""

    for piece in stream:
        if piece.kind == "picture":
            flush()
            if piece.addresses[0] in known:
                continue
            # What another picture shows as well is a placeholder.
            own = [a for a in piece.addresses if a not in known]
            known.update(own)
            pictures += 1
            found = (inline_picture(a) or find_picture(a) for a in own)
            data = next((d for d in found if d), None)
            if data is None:
                absent += 1
            else:
                add_embedded(assembly, data, f"第{pictures}张图片", limits)
            continue
        if piece.kind == "guide":
            guides += piece.text
            continue
        if piece.text == "\n" or piece.kind != "paragraph" or (piece.visible != seen and piece.text.strip()):
            flush()
            seen = piece.visible
        if piece.kind != "paragraph":
            assembly.add(piece.text, piece.kind, visible=piece.visible)
        elif piece.text != "\n":
            current += piece.text
    flush()
    if absent:
        assembly.unread(f"{absent}张图片未识别文字")
