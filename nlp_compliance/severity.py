"""How grave findings are: their order, and the risk of a document that follows from them."""

from __future__ import annotations

from collections.abc import Iterable

from nlp_compliance.records import Risk, Severity

GRAVEST_FIRST: tuple[Severity, ...] = ("high", "medium", "low", "info")
RISK_ORDER: tuple[Risk, ...] = ("high", "medium", "low", "none")
# One step less grave: a text that at least points to its terms, and what only a person can decide.
LOWERED: dict[Severity, Severity] = {"high": "medium", "medium": "low", "low": "low", "info": "info"}


def gravest(severities: Iterable[Severity]) -> Severity | None:
    """None where there is nothing."""
    return min(severities, key=GRAVEST_FIRST.index, default=None)


def risk_of(violations: Iterable[tuple[Severity, bool]]) -> Risk:
    """The gravest of the violations; those that wait for a person (True) count one step lower, those of `info` not at all."""
    level = gravest(LOWERED[severity] if waits else severity for severity, waits in violations)
    return "none" if level is None or level == "info" else level
