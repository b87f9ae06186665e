"""The rulebook's detector: one automaton over all terms, patterns beside it, guards against denial and quotation.

Matching is on normal text, so terms and exceptions are brought into normal form too: a rule may be written as people
write. Where a rule asks for whole words, jieba's borders decide.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import daachorse

from nlp_compliance.detect.guards import guarded
from nlp_compliance.errors import RulebookError
from nlp_compliance.records import Document, Hit, ParsedDocument, Span, Verdict
from nlp_compliance.rulebook import Rule, Rulebook
from nlp_compliance.text.normalise import normalise
from nlp_compliance.text.parse import parse
from nlp_compliance.text.words import word_bounds

NEAR_CHARS = 20
_REGULAR = re.compile(r"[\\^$.|?*+()\[\]{}]")
# Not the ends of a range such as [一-龥], which would become another range.
_NOT_ASCII = re.compile(r"(?<!-)[^\x00-\x7f](?!-)")


@dataclass(frozen=True, slots=True)
class _Match:
    rule: Rule
    start: int
    end: int


class LexicalDetector:
    """Hits of all rules of a rulebook. Building it proves every rule: a rule that misses its own bad example or hits
    its good one raises RulebookError."""

    name = "lexical"

    def __init__(self, rulebook: Rulebook, *, advisory: bool = False) -> None:
        self.rules = tuple(r for r in rulebook.rules if advisory or r.kind != "advisory")
        self._places = rulebook.places
        self._terms: dict[str, list[Rule]] = defaultdict(list)
        for rule in self.rules:
            for term in rule.terms:
                self._terms[self._normal(rule, term)].append(rule)
        ordered = sorted(self._terms)
        self._ordered = ordered
        self._automaton = daachorse.CharwiseDoubleArrayAhoCorasick(ordered) if ordered else None
        patterns = [(rule, self._compiled(rule, p)) for rule in self.rules for p in rule.patterns]
        self._patterns = [(rule, p.finditer, p.groupindex.get("span", 0)) for rule, p in patterns]
        self._exceptions = {r.id: self._any_of(r, r.exceptions) for r in self.rules if r.exceptions}
        self._near = {r.id: self._any_of(r, r.unless_near) for r in self.rules if r.unless_near}
        for rule in self.rules:
            self._prove(rule)

    def detect(self, documents: Sequence[ParsedDocument]) -> list[list[Hit]]:
        return [self._detect(parsed) for parsed in documents]

    def _detect(self, parsed: ParsedDocument) -> list[Hit]:
        text = parsed.normal
        borders = _lazy_borders(parsed)
        kept = {
            (m.rule.id, m.start, m.end): m
            for m in (*self._term_matches(text), *self._pattern_matches(text))
            if self._holds(m, text, borders)
        }
        matches = sorted(_longest(list(kept.values())), key=lambda m: (m.start, m.end, m.rule.label, m.rule.id))
        return [_hit(parsed, m) for m in matches]

    def _term_matches(self, text: str) -> Iterator[_Match]:
        if self._automaton is None:
            return
        for start, end, index in self._automaton.find_overlapping(text):
            for rule in self._terms[self._ordered[index]]:
                yield _Match(rule, start, end)

    def _pattern_matches(self, text: str) -> Iterator[_Match]:
        for rule, found, group in self._patterns:
            for match in found(text):
                start, end = match.span(group)
                if start < end:
                    yield _Match(rule, start, end)

    def _holds(self, match: _Match, text: str, borders: Callable[[int], set[int]]) -> bool:
        if match.rule.id in self._exceptions and _covered(self._exceptions[match.rule.id], text, match):
            return False
        if match.rule.id in self._near and self._near[match.rule.id].search(
            text[max(0, match.start - NEAR_CHARS) : match.end + NEAR_CHARS]
        ):
            return False
        if match.rule.whole_words and not {match.start, match.end} <= borders(match.start):
            return False
        return not (match.rule.guards and guarded(text, match.start, match.end))

    def _prove(self, rule: Rule) -> None:
        for examples, wanted in ((rule.bad, True), (rule.good, False)):
            for example in examples:
                hits = self._detect(parse(Document("", example)))
                if any(h.rule == rule.id for h in hits) != wanted:
                    says = "does not hit its bad example" if wanted else "hits its good example"
                    raise self._fault(rule, f"{says} {example!r}; mend the rule or the example")

    def _normal(self, rule: Rule, words: str) -> str:
        normal = normalise(words).text
        if not normal:
            raise self._fault(rule, f"holds {words!r}, of which normal text keeps nothing; delete it or fill it in")
        return normal

    def _any_of(self, rule: Rule, patterns: Sequence[str]) -> re.Pattern[str]:
        """What cancels a match. Plain words are brought into normal form whole; of a regular expression, whose signs
        must stay, each Chinese or full-width character by itself."""
        normal = [
            _NOT_ASCII.sub(lambda m: re.escape(normalise(m.group()).text), p)
            if _REGULAR.search(p)
            else re.escape(self._normal(rule, p))
            for p in patterns
        ]
        # Normal text is in lower case.
        return self._compiled(rule, "|".join(normal), re.IGNORECASE)

    def _compiled(self, rule: Rule, pattern: str, flags: int = 0) -> re.Pattern[str]:
        try:
            return re.compile(pattern, flags)
        except re.error as error:
            raise self._fault(rule, f"pattern {pattern!r} is no regular expression: {error}") from error

    def _fault(self, rule: Rule, said: str) -> RulebookError:
        return RulebookError(f"{self._places[rule.id]}: rule {rule.id}: {said}")


def _covered(pattern: re.Pattern[str], text: str, match: _Match) -> bool:
    """Whether an exception overlaps the match."""
    low, high = max(0, match.start - NEAR_CHARS), match.end + NEAR_CHARS
    return any(m.start() + low < match.end and m.end() + low > match.start for m in pattern.finditer(text[low:high]))


def _lazy_borders(parsed: ParsedDocument) -> Callable[[int], set[int]]:
    """Word borders of the sentence at a place; jieba is asked only for sentences that hold a candidate."""
    known: dict[int, set[int]] = {}
    whole = Span(0, len(parsed.normal))

    def borders(place: int) -> set[int]:
        i = bisect_right(parsed.sentences, place, key=lambda s: s.start) - 1
        sentence = parsed.sentences[i] if i >= 0 and place < parsed.sentences[i].end else whole
        if sentence.start not in known:
            bounds = word_bounds(parsed.normal[sentence.start : sentence.end])
            known[sentence.start] = {sentence.start + b for b in bounds}
        return known[sentence.start]

    return borders


def _longest(matches: list[_Match]) -> list[_Match]:
    """Without the matches of a rule that lie inside a longer match of the same rule."""
    out: list[_Match] = []
    reach: dict[str, int] = {}
    for match in sorted(matches, key=lambda m: (m.rule.id, m.start, -m.end)):
        if match.end > reach.get(match.rule.id, -1):
            out.append(match)
            reach[match.rule.id] = match.end
    return out


def _hit(parsed: ParsedDocument, match: _Match) -> Hit:
    rule = match.rule
    verdict: Verdict = "violation"
    if rule.kind == "evidence_needed":
        verdict = "evidence_needed"
    elif rule.kind == "advisory":
        verdict = "advisory"
    return Hit(
        label=rule.label,
        span=parsed.original(match.start, match.end),
        score=rule.score,
        detector=LexicalDetector.name,
        rule=rule.id,
        verdict=verdict,
        reason=rule.reason,
        suggestion=rule.suggestion,
    )
