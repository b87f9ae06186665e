"""What trafilatura, a maintained extractor, knows of a page that is not WeChat's: its metadata and its main text.

The main text is only marked, not cut out: extractors drop footers, and footers hold the fine print.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Article:
    """Metadata as the page states it, and its main text without blanks."""

    title: str | None = None
    author: str | None = None
    account: str | None = None
    url: str | None = None
    published: date | None = None
    main: str = ""

    def frames(self, text: str) -> bool:
        """Whether `text` stands in the frame of the page (navigation, side columns, footer), not in its article."""
        return bool(self.main) and "".join(text.split()) not in self.main


def article_of(page: str) -> Article:
    """The article in `page`; an empty one where the extractor finds none or fails."""
    # Imported here because most scans hold no such page and the import takes a while.
    from trafilatura import bare_extraction

    try:
        found = bare_extraction(
            page, with_metadata=True, include_comments=False, favor_recall=True, date_extraction_params=_DATES
        )
    except Exception:
        # The extractor only adds to what is read anyway; no page may fail for its sake.
        return Article()
    if found is None or isinstance(found, dict):
        return Article()
    return Article(
        title=found.title,
        author=found.author,
        account=found.sitename,
        url=found.url,
        published=_day(found.date),
        main="".join((found.text or "").split()),
    )


# Only days that the page states: a day guessed from the text would decide the law in force.
_DATES = {"extensive_search": False, "original_date": True}


def _day(value: str | None) -> date | None:
    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        return None
