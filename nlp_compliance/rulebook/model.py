"""What a rulebook holds. All records are frozen; `Rulebook.version` is a hash of the records in force."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from nlp_compliance.records import Basis, Severity

Certainty = Literal["verified", "secondary", "memory"]
Kind = Literal["violation", "disclosure", "evidence_needed", "advisory"]


@dataclass(frozen=True, slots=True)
class Article:
    """A provision in our own words. `number` is shown only where `certainty` is not `memory`."""

    id: str
    summary: str
    number: str | None = None
    certainty: Certainty = "memory"

    @property
    def shown_number(self) -> str | None:
        return None if self.certainty == "memory" else self.number


@dataclass(frozen=True, slots=True)
class Law:
    """A law or notice with the days on which it was in force, both ends inclusive."""

    id: str
    title: str
    issuer: str
    effective_from: date
    articles: tuple[Article, ...]
    number: str | None = None
    effective_to: date | None = None

    def in_force(self, day: date) -> bool:
        return self.effective_from <= day and (self.effective_to is None or day <= self.effective_to)

    def article(self, identifier: str) -> Article:
        return next(a for a in self.articles if a.id == identifier)


@dataclass(frozen=True, slots=True)
class LabelInfo:
    """One label or tag as an officer reads about it. `basis` names (law id, article id) pairs, gravest first."""

    id: str
    name: str
    definition: str
    category: str | None = None
    severity: Severity = "info"
    reason: str = ""
    suggestion: str = ""
    basis: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """Terms and patterns on normal text that speak for a label, what cancels them, and examples that prove it.

    `exceptions` cancel a match that they overlap, `unless_near` one that stands within NEAR_CHARS of them.
    `score` is the share of hits that are right, as far as known. The guards cancel a hit that is denied, quoted to
    warn, or asked and then denied.
    """

    id: str
    label: str
    kind: Kind
    bad: tuple[str, ...]
    good: tuple[str, ...]
    terms: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    unless_near: tuple[str, ...] = ()
    whole_words: bool = False
    guards: bool = True
    score: float = 0.9
    reason: str | None = None
    suggestion: str | None = None


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Everything the product explains itself with. `places` says of every rule, by its id, in which file and line it
    stands."""

    laws: dict[str, Law]
    labels: dict[str, LabelInfo]
    rules: tuple[Rule, ...]
    version: str
    places: dict[str, str]

    def label(self, identifier: str) -> LabelInfo:
        """Raises KeyError for a label that no table holds."""
        return self.labels[identifier]

    def basis(self, label: str, as_of: date) -> tuple[Basis, ...]:
        """The provisions behind `label` that were in force on `as_of`, gravest first."""
        out = []
        for law_id, article_id in self.labels[label].basis:
            law = self.laws[law_id]
            if law.in_force(as_of):
                article = law.article(article_id)
                out.append(
                    Basis(law.title, article.shown_number, article.summary, law.number, law.issuer, law.effective_from)
                )
        return tuple(out)
