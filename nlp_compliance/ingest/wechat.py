"""WeChat article pages and other saved HTML.

WeChat puts the title in `#activity-name`, the account in `#js_name`, the day in `#publish_time` and the body in
`#js_content`. Text that a reader cannot see is kept and marked `visible=False`, since it is published all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from lxml import html
from lxml.etree import LxmlError

from nlp_compliance.errors import UnreadableFileError
from nlp_compliance.ingest.plain import decode
from nlp_compliance.records import Block, Coverage, Document, Source

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
    ]
)
_SKIP = frozenset(["script", "style", "noscript", "template", "head"])
_HIDDEN = re.compile(r"display:none|visibility:hidden|opacity:0(?:;|$)|font-size:[01](?:\.\d+)?px", re.I)
_DATE = re.compile(r"(20\d\d)\D{1,3}(\d{1,2})\D{1,3}(\d{1,2})")
_CREATED = re.compile(rb"""(?:create_time|createTime|ct)\s*[=:]\s*["'](\d{10}|20\d\d-\d\d-\d\d)""")


def looks_like_html(data: bytes) -> bool:
    head = data[:2048].lstrip().lower()
    return head.startswith((b"<!doctype html", b"<html")) or b"<body" in head or b'id="js_content"' in data


def read_html(data: bytes, *, identifier: str, path: str | None = None) -> Document:
    """The document of one saved page. Raises UnreadableFileError when there is no markup to parse."""
    try:
        tree = html.document_fromstring(decode(data))
    except (LxmlError, ValueError) as error:
        raise UnreadableFileError(f"no HTML can be parsed ({error}); save the page again from the browser") from error
    body = _first(tree, "js_content")
    if body is None:
        body = tree.find("body")
    root = body if body is not None else tree
    title = _text_of(_first(tree, "activity-name")) or _text_of(tree.find(".//title"))
    text, blocks = _assemble(title, list(_runs(root, visible=True)))
    images = _image_count(root)
    source = Source(
        path=path,
        media_type="text/html",
        title=title or None,
        account=_text_of(_first(tree, "js_name")) or None,
        author=_meta(tree, "author") or None,
        url=_meta(tree, "og:url") or None,
        published=_published(tree, data),
    )
    unread = (f"{images}张图片未识别文字",) if images else ()
    return Document(identifier, text, blocks, source, Coverage(complete=not unread, unread=unread))


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


def _image_count(root: html.HtmlElement) -> int:
    return sum(1 for image in root.iter("img") if image.get("data-src") or image.get("src"))


def _runs(element: html.HtmlElement, *, visible: bool) -> Iterator[tuple[str, bool]]:
    """(text, visible) pieces in reading order; "\\n" stands between block elements."""
    if not isinstance(element.tag, str) or element.tag in _SKIP:
        return
    visible = visible and not _HIDDEN.search((element.get("style") or "").replace(" ", ""))
    visible = visible and element.get("hidden") is None
    breaks = element.tag in _BREAKS
    if breaks:
        yield "\n", visible
    if element.text:
        yield element.text, visible
    for child in element:
        yield from _runs(child, visible=visible)
        if child.tail:
            yield child.tail, visible
    if breaks:
        yield "\n", visible
    elif element.tag in ("td", "th"):
        yield " | ", visible


def _assemble(title: str, runs: list[tuple[str, bool]]) -> tuple[str, tuple[Block, ...]]:
    lines: list[tuple[str, bool, str]] = [(title, True, "title")] if title else []
    current, seen = "", True
    for piece, visible in [*runs, ("\n", True)]:
        if piece == "\n" or visible != seen:
            line = " ".join(current.split()).strip(" |")
            if line:
                lines.append((line, seen, "paragraph"))
            current, seen = "", visible
        if piece != "\n":
            current += piece
    text, blocks = "", []
    for line, visible, kind in lines:
        blocks.append(Block(len(text), len(text) + len(line), kind=kind, visible=visible))
        text += line + "\n"
    return text.rstrip("\n"), tuple(blocks)
