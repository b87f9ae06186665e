"""What a reader may spend on one file; every bound is a setting."""

from __future__ import annotations

from dataclasses import dataclass

from nlp_compliance.errors import LimitExceededError
from nlp_compliance.settings import Settings


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one file, taken from the settings: sizes in bytes, pictures in pixels, time in seconds."""

    max_bytes: int
    max_unpacked_bytes: int
    max_ratio: int
    max_members: int
    max_nesting: int
    max_pages: int
    max_pixels: int
    max_seconds: int
    ocr: bool

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            max_bytes=settings.max_upload_bytes,
            max_unpacked_bytes=settings.max_unpacked_bytes,
            max_ratio=settings.max_ratio,
            max_members=settings.max_members,
            max_nesting=settings.max_nesting,
            max_pages=settings.max_pages,
            max_pixels=settings.max_pixels,
            max_seconds=settings.max_read_seconds,
            ocr=settings.ocr,
        )

    def check(self, name: str, found: int, allowed: int, what: str) -> None:
        """Raises LimitExceededError when `found` is over `allowed`."""
        if found > allowed:
            raise LimitExceededError(
                f"{name}: {what} is {found}; allowed: {allowed}; split the file or raise the limit"
            )
