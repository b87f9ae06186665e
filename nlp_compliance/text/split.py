"""Sentences of normal text, for texts with and without punctuation, lists and tables."""

from __future__ import annotations

import re

from nlp_compliance.records import Span

LONGEST_CHARS = 120
# Closing quotes and brackets stay with the sentence they close; a cell of a table is a sentence of its own.
_END = re.compile(r"(?:[。！？；!?;]+|…{1,2}|\n|(?<=\S) ?\| ?)[”’」』）)】]*")
_SOFT = re.compile(r"[，,、\s：:]|(?<=[吧呢啊嘛哈啦哦了的])")


def sentences(text: str) -> tuple[Span, ...]:
    """Spans in order that do not overlap and cover every character that is not blank; at most LONGEST_CHARS long."""
    out: list[Span] = []
    start = 0
    for match in _END.finditer(text):
        out += _cut(text, start, match.end())
        start = match.end()
    out += _cut(text, start, len(text))
    return tuple(out)


def _cut(text: str, start: int, end: int) -> list[Span]:
    out = []
    while end - start > LONGEST_CHARS:
        border = _soft_border(text, start)
        out += _stripped(text, start, border)
        start = border
    return out + _stripped(text, start, end)


def _soft_border(text: str, start: int) -> int:
    """The last soft border in the second half of the longest allowed run, else its end."""
    borders = [m.end() for m in _SOFT.finditer(text, start + LONGEST_CHARS // 2, start + LONGEST_CHARS)]
    return borders[-1] if borders else start + LONGEST_CHARS


def _stripped(text: str, start: int, end: int) -> list[Span]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return [Span(start, end)] if start < end else []
