"""Walks the elements of a page in reading order: text, pictures, cards and captions, each with whether it is seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

from lxml import html

from nlp_compliance.ingest.styles import Seen, background_picture

_BLOCK_TAGS = (
    "p div section li tr h1 h2 h3 h4 h5 h6 br hr blockquote table ul ol dl dt dd article header footer nav aside "
    "main figure figcaption caption details summary form fieldset legend option optgroup pre center address dialog button"
)
_BREAKS = frozenset(_BLOCK_TAGS.split())
_SKIP = frozenset(["script", "style", "template", "head"])
# WeChat's own cards (accounts, mini programs, voice, channels) show their words from attributes.
_CARDS = ("mp", "qqmusic")
_PLAYERS = frozenset(["iframe", "video", "audio", "embed"])
_CHINESE = re.compile(r"[\u3400-\u9fff]")
# Shorter inlined pictures are the grey dots that stand where a picture is loaded later.
_SHORTEST_INLINE = 600
# Fields that show their value; what a visitor has typed into the others is no copy.
_BUTTONS = frozenset(["submit", "button", "reset"])
# Where scripts and mail programs keep the address of a picture; its own one first, as those that wait may share a `src`.
_PICTURE_ADDRESSES = {
    "img": ("data-src", "data-original", "data-lazy-src", "data-echo", "src"),
    "video": ("poster",),
    "input": ("src",),
    "image": ("href", "xlink:href"),
    "table": ("background",),
    "td": ("background",),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text ("\\n" between block elements), or a picture with the addresses it may be found under, its own first.

    `kind` "guide" is pronunciation written above characters, which it would tear apart where it stands.
    """

    text: str
    visible: bool
    kind: str = "paragraph"
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Open:
    """An element whose children are being walked; `end` is what closes it, `tail` the text behind it."""

    children: Iterator[html.HtmlElement]
    seen: Seen
    end: str = ""
    tail: str | None = None


def pieces(root: html.HtmlElement) -> Iterator[Piece]:
    """Everything inside `root`, whose own style does not count: scripts show a body that is saved as hidden.

    The stack is our own, since pages nest deeper than Python calls may.
    """
    if root.text:
        yield Piece(root.text, True)
    stack = [_Open(iter(root), Seen())]
    while stack:
        top = stack[-1]
        child = next(top.children, None)
        if child is None:
            stack.pop()
            if top.end:
                yield Piece(top.end, top.seen.visible)
            if top.tail:
                yield Piece(top.tail, stack[-1].seen.visible)
        elif child.tag in ("rt", "rp"):
            if child.tag == "rt":
                yield Piece(child.text_content(), top.seen.visible, "guide")
            if child.tail:
                yield Piece(child.tail, top.seen.visible)
        elif not isinstance(child.tag, str) or child.tag in _SKIP:
            if child.tail:
                yield Piece(child.tail, top.seen.visible)
        else:
            hidden = child.get("hidden") is not None or child.tag == "noscript"
            seen = top.seen.inside(child.get("style"), hidden=hidden)
            yield from _opening(child, seen)
            end = "\n" if child.tag in _BREAKS else " | " if child.tag in ("td", "th") else ""
            stack.append(_Open(iter(child), seen, end, child.tail))


def _opening(element: html.HtmlElement, seen: Seen) -> Iterator[Piece]:
    """What an element shows before its children. Size and colour of text do not matter to pictures and cards."""
    shown = not (seen.gone or seen.hidden)
    if element.tag in _BREAKS:
        yield Piece("\n", seen.visible)
    if addresses := _addresses(element):
        yield Piece("", shown, "picture", addresses)
    if element.tag.startswith(_CARDS):
        yield Piece(_words(element), shown, "card")
    elif element.tag in _PLAYERS or "video" in (element.get("class") or ""):
        yield Piece(_words(element), shown, "caption")
    elif element.tag in ("input", "textarea"):
        button = (element.get("type") or "").lower() in _BUTTONS
        yield Piece(element.get("value" if button else "placeholder") or "", shown, "caption")
    elif element.tag in ("option", "optgroup"):
        yield Piece(element.get("label") or "", shown, "caption")
    if element.text:
        yield Piece(element.text, seen.visible)


def _words(element: html.HtmlElement) -> str:
    """Chinese words among the attributes; structured values are the page's own business."""
    values = (unescape(str(v)).strip() for k, v in element.attrib.items() if k not in ("style", "class"))
    return " ".join(dict.fromkeys(v for v in values if _CHINESE.search(v) and v[0] not in "{["))


def _addresses(element: html.HtmlElement) -> tuple[str, ...]:
    style = element.get("style") or ""
    named = [element.get(name) for name in _PICTURE_ADDRESSES.get(element.tag, ())]
    if element.tag == "img":
        # What a browser may choose from is one picture in several sizes or formats; lxml puts it inside of the last source.
        choices = [s for frame in element.iterancestors("picture") for s in frame.iter("source")]
        named += [a.rstrip(",") for one in (element, *choices) for a in (one.get("srcset") or "").split()[:1]]
    elif element.tag == "object" and (element.get("type") or "").startswith("image/"):
        named.append(element.get("data"))
    if "url(" in style.lower():
        named.append(background_picture(style))
    return tuple(a for a in named if a and not _is_placeholder(a))


def _is_placeholder(address: str) -> bool:
    return address.startswith("data:") and (len(address) < _SHORTEST_INLINE or address.startswith("data:image/svg"))
