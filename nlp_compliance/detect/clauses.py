"""The clause around a place in a text: what is shown where a detector has only a word or a single token to show."""

from __future__ import annotations

import re

from nlp_compliance.records import Span


def clause_around(text: str, start: int, end: int, mark: re.Pattern[str]) -> Span:
    """From behind the last `mark` before `start` to the first one from `end` on; `mark` matches single characters.

    Walks outwards, so the cost is the clause's length and not the text's.
    """
    while start > 0 and not mark.match(text, start - 1):
        start -= 1
    while end < len(text) and not mark.match(text, end):
        end += 1
    return Span(start, end)
