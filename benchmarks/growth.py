"""Whether cost grows with the size of a document or of the rulebook: both should stay level."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.measure import timed
from benchmarks.texts import SEED, stock, text_of
from nlp_compliance.checker import Checker
from nlp_compliance.detect.lexical import LexicalDetector
from nlp_compliance.records import Document
from nlp_compliance.rulebook import Rulebook
from nlp_compliance.text.parse import parse

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
TERMS = (100, 1_000, 10_000, 100_000)
# Short documents are read often enough to have been read this many characters a round.
_CHARACTERS_A_ROUND = 30_000


@dataclass(frozen=True, slots=True)
class Step:
    """Cost at one size (characters of a document, or terms of a rulebook): the median and half the range, in µs a
    character, and the process's resident memory afterwards."""

    size: int
    microseconds: float
    spread: float
    resident_mb: float


def documents(checker: Checker, largest: int, repeat: int) -> list[Step]:
    """One document of growing length through the whole product; each round reads every length once or more."""
    source = stock()
    long = Checker(checker.detectors, checker.rulebook, thresholds=checker.thresholds, max_text_chars=2 * SIZES[-1])
    sizes = [size for size in SIZES if size <= largest]
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    memory: dict[int, float] = {}
    for round_ in range(repeat):
        for size in sizes:
            # The longest takes minutes: once is enough, its own length evens out what disturbs it.
            if round_ and size > 100_000:
                continue
            count = max(1, min(_CHARACTERS_A_ROUND, largest) // size)
            texts = [Document("x", text_of(size, source, 977 * (round_ * count + i))) for i in range(count)]
            seconds[size].append(timed(lambda texts=texts: [long.check(d) for d in texts]) / count)
            memory.setdefault(size, resident_mb())
    return [_step(size, [s / size for s in seconds[size]], memory[size]) for size in sizes]


def rulebooks(rulebook: Rulebook, largest: int, repeat: int) -> list[Step]:
    """The rules alone over one text, with a rule of growing length beside those of the package."""
    rule = next(r for r in rulebook.rules if r.terms)
    document = parse(Document("x", stock()[:20_000]))
    rng = np.random.default_rng(SEED)
    out = []
    for count in (c for c in TERMS if c <= largest):
        letters = rng.integers(0x4E00, 0x9FA5, size=(count, 5))
        terms = tuple({"".join(map(chr, row)) for row in letters.tolist()} | set(rule.bad[:1]))
        own = replace(rule, id="own.terms", terms=terms, patterns=(), good=())
        detector = LexicalDetector(replace(rulebook, rules=(*rulebook.rules, own)))
        detector.detect([document])
        times = [timed(lambda d=detector: d.detect([document])) / len(document.normal) for _ in range(repeat)]
        out.append(_step(count, times, resident_mb()))
    return out


def _step(size: int, seconds: Sequence[float], memory: float) -> Step:
    micro = [s * 1e6 for s in seconds]
    return Step(size, statistics.median(micro), (max(micro) - min(micro)) / 2, memory)


def unevenness(steps: Sequence[Step]) -> float:
    """How much more the dearest size costs a character than the cheapest, as a share."""
    costs = [s.microseconds for s in steps]
    return max(costs) / min(costs) - 1


def resident_mb(process: int | str = "self", field: str = "VmRSS") -> float:
    """MB resident now, or at most so far with field VmHWM; 0 where the system does not say."""
    path = Path(f"/proc/{process}/status")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(field)), 0.0)
