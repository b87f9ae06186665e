"""A second, blind reading of a sample of the corpus, and how far two readers agree.

`python -m training.agreement sample` writes plain texts for the second reader to `data/corpus/second-reading/todo-*.txt`
(not kept); the reader marks them up in place as `read-*.txt`. `compare` prints Cohen's kappa of every document label and
the character F1 of spans, and with `--write` puts the table into the data card.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nlp_compliance.records import LABELS, TAGS, VIOLATION_LABELS, missing_labels
from training.corpus import CORPUS, CorpusError, Example, LabelledSpan, load_corpus, parse_marked
from training.metrics import Counts, add, character_counts
from training.statistics import CARD

FOLDER = CORPUS / "second-reading"
_BEGIN, _END = (
    "<!-- agreement: written by `python -m training.agreement compare --write` -->",
    "<!-- end of agreement -->",
)
_HEAD = re.compile(r"id: (\S+)\npromotional: (yes|no|\?)\n\n")
_RULE = "\n===\n"


@dataclass(frozen=True, slots=True)
class Reading:
    """What the second reader said of one document."""

    id: str
    promotional: bool
    spans: tuple[LabelledSpan, ...]

    @property
    def labels(self) -> frozenset[str]:
        own = {s.label for s in self.spans}
        return frozenset((own & set(VIOLATION_LABELS)) | set(missing_labels(self.promotional, own)))


def sample(examples: Sequence[Example], share: float, seed: int) -> list[Example]:
    """A share of the groups, one document of each, in random order."""
    by_group: dict[str, list[Example]] = {}
    for example in examples:
        by_group.setdefault(example.group, []).append(example)
    rng = random.Random(seed)
    count = min(len(by_group), round(len(examples) * share))
    return [rng.choice(by_group[g]) for g in rng.sample(sorted(by_group), count)]


def blind_id(identifier: str) -> str:
    """A name that tells the second reader nothing: file names of the corpus say what their documents are for."""
    return hashlib.sha256(identifier.encode()).hexdigest()[:10]


def write_todo(examples: Sequence[Example], folder: Path, *, size: int) -> list[Path]:
    """Texts without any label, `size` a file."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, start in enumerate(range(0, len(examples), size), 1):
        path = folder / f"todo-{number:02}.txt"
        records = (f"id: {blind_id(e.id)}\npromotional: ?\n\n{e.text}" for e in examples[start : start + size])
        path.write_text(_RULE.join(records) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def read_readings(folder: Path, texts: dict[str, str]) -> tuple[list[Reading], list[str]]:
    """All second readings and a complaint for each record that is wrong or whose text was changed."""
    readings, complaints = [], []
    for path in sorted(folder.glob("read-*.txt")):
        for number, record in enumerate(path.read_text(encoding="utf-8").rstrip("\n").split(_RULE), 1):
            where = f"{path.name} record {number}"
            match = _HEAD.match(record)
            if not match or match.group(2) == "?" or match.group(1) not in texts:
                complaints.append(f"{where}: no head of `id:` (known) and `promotional: yes|no`; found {record[:60]!r}")
                continue
            try:
                text, spans = parse_marked(record[match.end() :], where=where)
            except CorpusError as error:
                complaints.append(str(error))
                continue
            if text.strip() != texts[match.group(1)].strip():
                complaints.append(f"{where} ({match.group(1)}): the text without marks differs from the original")
                continue
            shift = len(texts[match.group(1)]) - len(texts[match.group(1)].lstrip()) - (len(text) - len(text.lstrip()))
            moved = tuple(LabelledSpan(s.start + shift, s.end + shift, s.label) for s in spans)
            readings.append(Reading(match.group(1), match.group(2) == "yes", moved))
    return readings, complaints


def kappa(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Cohen's kappa of two readers' yes and no; 1.0 where both never vary and agree (Cohen 1960)."""
    n = len(first)
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    p, q = sum(first) / n, sum(second) / n
    expected = p * q + (1 - p) * (1 - q)
    return 1.0 if expected == 1.0 else (observed - expected) / (1 - expected)


def first_labels(example: Example) -> frozenset[str]:
    """The document labels of the first reading, as `Reading.labels` are those of the second."""
    return frozenset({s.label for s in example.spans} & set(VIOLATION_LABELS)) | frozenset(example.missing)


def table(pairs: Sequence[tuple[Example, Reading]]) -> list[str]:
    """Markdown rows: kappa of every document label, character F1 of every kind of span."""
    first = [first_labels(e) for e, _ in pairs]
    second = [r.labels for _, r in pairs]
    lines = [f"{len(pairs)} documents read again.", "", "| | first | second | Cohen's kappa |", "|---|--:|--:|--:|"]
    stance = [e.promotional for e, _ in pairs], [r.promotional for _, r in pairs]
    lines.append(f"| promotional | {sum(stance[0])} | {sum(stance[1])} | {kappa(*stance):.2f} |")
    for label in LABELS:
        a, b = [label in x for x in first], [label in x for x in second]
        lines.append(f"| `{label}` | {sum(a)} | {sum(b)} | {kappa(a, b):.2f} |")
    lines += ["", "| spans | character F1 |", "|---|--:|"]
    for name, labels in (("violations", VIOLATION_LABELS), ("other spans", TAGS)):
        lines.append(f"| {name} | {_characters(pairs, labels).f1:.2f} |")
    return lines


def _characters(pairs: Sequence[tuple[Example, Reading]], labels: Sequence[str]) -> Counts:
    def spans(source: Sequence[LabelledSpan]) -> list[tuple[int, int, str]]:
        return [(s.start, s.end, s.label) for s in source if s.label in labels]

    return add([character_counts(spans(r.spans), spans(e.spans)) for e, r in pairs])


def disagreements(pairs: Sequence[tuple[Example, Reading]]) -> list[str]:
    """One line for every document whose labels differ, for settling."""
    out = []
    for example, reading in pairs:
        first = first_labels(example)
        if first != reading.labels or example.promotional != reading.promotional:
            out.append(
                f"{example.id}: only first {sorted(first - reading.labels)}, only second {sorted(reading.labels - first)}, "
                f"promotional {example.promotional}/{reading.promotional}"
            )
    return out


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.agreement", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("sample", help="write plain texts for the second reader")
    drawing.add_argument("--share", type=float, default=0.15)
    drawing.add_argument("--size", type=int, default=40, help="documents a file")
    drawing.add_argument("--seed", type=int, default=29)
    drawing.add_argument("--out", type=Path, default=FOLDER)
    comparing = commands.add_parser("compare", help="print the agreement and what to settle")
    comparing.add_argument("--folder", type=Path, default=FOLDER)
    comparing.add_argument("--source", type=Path, default=CORPUS, help="corpus folder before anything was settled")
    comparing.add_argument("--write", action="store_true", help="put the table into the data card")
    args = parser.parse_args(argv)
    examples = load_corpus(args.source if args.command == "compare" else CORPUS)
    if args.command == "sample":
        for path in write_todo(sample(examples, args.share, args.seed), args.out, size=args.size):
            print(path)
        return 0
    by_id = {blind_id(e.id): e for e in examples}
    readings, complaints = read_readings(args.folder, {i: e.text for i, e in by_id.items()})
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if not readings:
        print(f"{args.folder}: no second reading found (read-*.txt)", file=sys.stderr)
        return 1
    pairs = [(by_id[r.id], r) for r in readings]
    lines = table(pairs)
    print("\n".join([*lines, "", *disagreements(pairs)]))
    if args.write:
        card = CARD.read_text(encoding="utf-8")
        before, rest = card.split(_BEGIN)
        CARD.write_text(before + "\n".join([_BEGIN, "", *lines, "", _END]) + rest.split(_END)[1], encoding="utf-8")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
