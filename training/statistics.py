"""Figures of the corpus: balance, repetition, near copies across splits; writes the tables of `data/README.md`.

`python -m training.statistics` prints them, writes the card's statistics and `docs/figures/corpus.png`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import opencc
from datasketch import MinHash, MinHashLSH

from nlp_compliance.detect.lexical import LexicalDetector
from nlp_compliance.records import BENEFIT_TAG, DISCLOSURE_TAGS, MISSING_LABELS, VIOLATION_LABELS, Hit
from nlp_compliance.rulebook import load_rulebook
from training.corpus import ROOT, SPLITS, BankSentence, Example, load_corpus, load_sentences, split_of
from training.dataset import parsed

CARD = ROOT / "data" / "README.md"
FIGURE = ROOT / "docs" / "figures" / "corpus.png"
_BEGIN, _END = "<!-- statistics: written by `make corpus` -->", "<!-- end of statistics -->"
_SHINGLE, _NEAR = 5, 0.8
_GRAM, _SHARED = 8, 0.3
_BANK_RUN, _BANK_MOST = 8, 5
_LABEL_HEAD = (
    "label",
    "documents",
    "spans no rule of the label touches",
    "documents disguised",
    "bank: carrying it",
    "bank: near misses",
)
_SIMPLIFY = opencc.OpenCC("t2s")


def masked(example: Example) -> str:
    """The text without blanks, digits and insurers' names: what two documents may not share at length."""
    text = list(example.text)
    for span in example.spans:
        if span.label == "disclosed_insurer":
            text[span.start : span.end] = "#" * (span.end - span.start)
    return re.sub(r"[\d.%#]+", "#", "".join("".join(text).split()))


def grams(text: str, size: int) -> set[str]:
    return {text[i : i + size] for i in range(len(text) - size + 1)}


def repetition(examples: Sequence[Example]) -> list[tuple[str, str, float]]:
    """(document, other, share) of documents whose 8-grams overlap by more than 30% with a document of another group."""
    sets = [grams(masked(e), _GRAM) for e in examples]
    holders: dict[str, list[int]] = defaultdict(list)
    for place, own in enumerate(sets):
        for gram in own:
            holders[gram].append(place)
    found = []
    for place, own in enumerate(sets):
        shared = Counter(
            other for gram in own for other in holders[gram] if examples[other].group != examples[place].group
        )
        other, count = max(shared.items(), key=lambda item: item[1], default=(place, 0))
        if own and count / len(own) > _SHARED:
            found.append((examples[place].id, examples[other].id, count / len(own)))
    return found


def near_copies_across_splits(examples: Sequence[Example]) -> list[tuple[str, str]]:
    """Pairs of documents of different splits whose character 5-grams agree by 0.8 or more (MinHash, Jaccard)."""
    index = MinHashLSH(threshold=_NEAR, num_perm=64)
    by_id = {e.id: e for e in examples}
    pairs = []
    for example in examples:
        sketch = MinHash(num_perm=64, seed=1)
        sketch.update_batch([g.encode() for g in grams(masked(example), _SHINGLE)])
        pairs += [(o, example.id) for o in index.query(sketch) if split_of(by_id[o]) != split_of(example)]
        index.insert(example.id, sketch)
    return pairs


def repeated_bank_lines(sentences: Sequence[BankSentence]) -> list[str]:
    """Ids of sentences that share an 8-character run with more than five others of their label."""
    holders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for sentence in sentences:
        for gram in grams("".join(sentence.text.split()), _BANK_RUN):
            holders[sentence.filed_under, gram].add(sentence.id)
    return sorted({i for ids in holders.values() if len(ids) > _BANK_MOST + 1 for i in ids})


def kind(example: Example) -> str:
    if not example.promotional:
        return "not promotional"
    violating = any(s.label in VIOLATION_LABELS for s in example.spans)
    return "promotional, violating" if violating else "promotional, compliant or lacking disclosures only"


def ruled(examples: Sequence[Example]) -> list[list[Hit]]:
    """The rulebook's violation hits on every document: what the textbook wording alone would find."""
    detector = LexicalDetector(load_rulebook())
    hits = detector.detect([parsed(e.text) for e in examples])
    return [[h for h in own if h.label in VIOLATION_LABELS and h.span is not None] for own in hits]


def beyond_wording(examples: Sequence[Example], hits: Sequence[Sequence[Hit]], label: str) -> float:
    """Share of a label's spans that no rule of the label touches."""
    untouched = []
    for example, own in zip(examples, hits, strict=True):
        found = [h.span for h in own if h.label == label and h.span is not None]
        for span in (s for s in example.spans if s.label == label):
            untouched.append(not any(f.start < span.end and span.start < f.end for f in found))
    return sum(untouched) / len(untouched)


def is_traditional(text: str) -> bool:
    """Whether a tenth of the characters or more change when the text is turned into simplified script."""
    simplified = _SIMPLIFY.convert(text)
    changed = sum(a != b for a, b in zip(text, simplified, strict=False))
    return changed >= len(text) / 10


def _disguised_share(examples: Sequence[Example], label: str) -> float:
    own = [e for e in examples if any(s.label == label for s in e.spans)]
    return sum(bool(e.disguise) for e in own) / len(own)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def tables(examples: Sequence[Example], sentences: Sequence[BankSentence]) -> str:
    """The statistics as Markdown."""
    per_split = {s: [e for e in examples if split_of(e) == s] for s in SPLITS}
    kinds = {s: Counter(map(kind, per_split[s])) for s in SPLITS}
    names = sorted({kind(e) for e in examples})
    balance = [
        [n, *(kinds[s][n] for s in SPLITS), f"{sum(kinds[s][n] for s in SPLITS) / len(examples):.0%}"] for n in names
    ]
    balance.append(["all", *(len(per_split[s]) for s in SPLITS), len(examples)])
    documents = Counter(label for e in examples for label in {s.label for s in e.spans} | set(e.missing))
    bank = Counter((s.filed_under, s.positive) for s in sentences)
    hits = ruled(examples)
    labels = [
        [
            f"`{label}`",
            documents[label],
            f"{beyond_wording(examples, hits, label):.0%}" if label in VIOLATION_LABELS else "",
            f"{_disguised_share(examples, label):.0%}" if label in VIOLATION_LABELS else "",
            bank[label, True] or "",
            bank[label, False] or "",
        ]
        for label in (*VIOLATION_LABELS, *MISSING_LABELS, BENEFIT_TAG, *DISCLOSURE_TAGS)
    ]
    genres = Counter(e.genre for e in examples).most_common()
    groups = Counter(e.group for e in examples)
    hard = [
        ["contrast groups and variants (groups of two or more)", sum(1 for n in groups.values() if n > 1)],
        ["over 1,000 characters", sum(len(e.text) > 1000 for e in examples)],
        ["over 3,000 characters", sum(len(e.text) > 3000 for e in examples)],
        [
            "without punctuation (speech)",
            sum(not re.search("[，。,.！!？?]", e.text) and len(e.text) > 60 for e in examples),
        ],
        ["traditional script", sum(is_traditional(e.text) for e in examples)],
        ["disguised", sum(bool(e.disguise) for e in examples)],
        [
            "not promotional, yet holding words that a rule takes for a violation (quoted, told, warned against)",
            sum(bool(own) for e, own in zip(examples, hits, strict=True) if not e.promotional),
        ],
        ["disclosures sentences in the bank", bank["disclosures", True] + bank["disclosures", False]],
    ]
    repeated = repetition(examples)
    return "\n\n".join(
        [
            _table(["kind", *SPLITS, "all"], balance),
            _table(_LABEL_HEAD, labels),
            _table(["hard set", "documents"], hard),
            _table(["genre", "documents"], genres),
            f"Repetition: {len(repeated)} of {len(examples)} documents ({len(repeated) / len(examples):.2%}) share more than "
            f"30% of their 8-grams with a document of another group. Bank sentences that share an 8-character run with "
            f"more than five others of their label: {len(repeated_bank_lines(sentences))} of {len(sentences)}. "
            f"Near copies across splits: {len(near_copies_across_splits(examples))}.",
        ]
    )


def draw(examples: Sequence[Example]) -> None:
    """Documents per label as a bar chart."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    counts = Counter(label for e in examples for label in {s.label for s in e.spans} | set(e.missing))
    labels = [*VIOLATION_LABELS, *MISSING_LABELS]
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    axes.barh(labels[::-1], [counts[label] for label in labels[::-1]], color="#4a6b8a")
    axes.set_xlabel("documents")
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def write_card(text: str) -> None:
    card = CARD.read_text(encoding="utf-8")
    head, _, rest = card.partition(_BEGIN)
    tail = rest.partition(_END)[2]
    CARD.write_text(f"{head}{_BEGIN}\n\n{text}\n\n{_END}{tail}", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.statistics", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--repeated", action="store_true", help="list the repeated documents and sentences, write nothing"
    )
    args = parser.parse_args(argv)
    examples, sentences = load_corpus(), load_sentences()
    if args.repeated:
        for document, other, share in repetition(examples):
            print(f"{document}\t{other}\t{share:.0%}")
        for pair in near_copies_across_splits(examples):
            print("across splits", *pair)
        print(*repeated_bank_lines(sentences))
        return 0
    text = tables(examples, sentences)
    print(text)
    write_card(text)
    draw(examples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
