"""What a WeChat page holds in its scripts alone, which a browser turns into the page later.

So come picture messages (贴图), text messages and articles that are shown late: the copy as `content_noencode`, the pictures of
a message as `cdn_url` of each entry of `picture_page_info_list`, whose watermarks and covers have addresses of the same name
further inside. The scripts are read, never run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from itertools import islice

from lxml import html

_STRING = r"""'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*\""""
# A value stands bare or in one of the page's own decoding functions.
_COPY = re.compile(rf"""\bcontent_noencode["']?\s*[:=]\s*(?:\w+\(\s*)?({_STRING})""", re.S)
_LIST = re.compile(r"""\bpicture_page_info_list["']?\s*[:=]\s*\[""")
# A string that is never closed takes all the rest, or each quotation mark in it would be looked at to the end.
_TOKEN = re.compile(rf"""{_STRING}|(?P<rest>['"].*)|[\[\]{{}}]|\bcdn_url\b""", re.S)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.S)
_SIGNS = {"n": "\n", "r": "\r", "t": "\t", "b": "", "f": "", "v": "", "0": ""}
_BLOCKS = re.compile(r"<(?:p|br|div|section|h\d|li|table)\b", re.I)
# More are looked through in no page, since one that is never closed is read to the end.
_LISTS = 4
MARK = b"picture_page_info_list"


def unescaped(text: str) -> str:
    r"""`text` with the escapes of a JavaScript string (`\x0a`, `\u4fdd`, `\'`) as what they stand for."""

    def sign(found: re.Match[str]) -> str:
        code = found.group(1) or found.group(2)
        return chr(int(code, 16)) if code else _SIGNS.get(found.group(3), found.group(3))

    # Pictographs are written as two halves.
    return _ESCAPE.sub(sign, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def copies(page: str) -> Iterator[html.HtmlElement]:
    """The copy in the scripts of `page` as elements, each text once; a message breaks its lines by line feeds alone."""
    found = (unescaped(match.group(1)[1:-1]).strip() for match in _COPY.finditer(page))
    for text in dict.fromkeys(found):
        if text:
            body = text if _BLOCKS.search(text) else text.replace("\n", "<br>")
            yield html.document_fromstring(f"<body>{body}</body>", parser=html.HTMLParser(huge_tree=True))


def pictures(page: str) -> tuple[str, ...]:
    """Addresses of the pictures of a message, in the order they are shown; the list stands in some pages twice."""
    starts = (match.end() for match in islice(_LIST.finditer(page), _LISTS))
    return next((found for start in starts if (found := tuple(_entries(page, start)))), ())


def _entries(page: str, start: int) -> Iterator[str]:
    """The address of every entry of the list whose first sign is at `start`, without those deeper inside of an entry."""
    depth, named = 0, False
    for match in _TOKEN.finditer(page, start):
        token = match.group()
        if match["rest"]:
            return
        if token in ("[", "{"):
            depth += 1
        elif token in ("]", "}"):
            depth -= 1
            if depth < 0:
                return
        elif token.strip("'\"") == "cdn_url":
            named = True
            continue
        elif named and depth == 1 and (address := unescape(unescaped(token[1:-1])).strip()):
            yield address
        named = False
