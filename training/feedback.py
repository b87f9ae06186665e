"""Officers' decisions as training data: the desk's JSONL export and Label Studio's JSON export in, checked lines out.

`python -m training.feedback decisions.jsonl project.json --out feedback.jsonl`, then
`python -m training.finetune --extra feedback.jsonl …`. Nothing that stands in the validation or test split, word for
word or nearly, is taken: feedback must not leak into what it is measured on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasketch import MinHash, MinHashLSH

from nlp_compliance.records import SPAN_LABELS, missing_labels
from training.corpus import Example, LabelledSpan, load_corpus, split_of
from training.statistics import grams

_NEAR = 0.7


class FeedbackError(ValueError):
    """A feedback file or row is wrong; the message names file, row and reason."""


def raw_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where, row in the corpus' JSONL form) of every decision. Raises FeedbackError when the file is no such export."""
    text = path.read_text(encoding="utf-8")
    try:
        if text.lstrip().startswith("["):
            for number, task in enumerate(json.loads(text), 1):
                yield f"{path.name} task {number}", _from_label_studio(task)
        else:
            # Other signs that Python takes for line ends stand in texts as they are.
            for number, line in enumerate(text.split("\n"), 1):
                if line.strip():
                    yield f"{path.name}:{number}", json.loads(line)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FeedbackError(
            f"{path}: neither the desk's JSONL nor a Label Studio JSON export ({type(error).__name__}: {error})"
        ) from error


def _from_label_studio(task: Mapping[str, Any]) -> dict[str, Any]:
    """One finished task; the last annotation that was not cancelled counts.

    The stance is what its annotator chose; where nobody was asked, what the desk exported with the text, and a text with
    spans sells.
    """
    kept = [a for a in task["annotations"] if not a.get("was_cancelled")]
    results = kept[-1]["result"] if kept else []
    spans = [
        {"start": r["value"]["start"], "end": r["value"]["end"], "label": label}
        for r in results
        if r["type"] == "labels"
        for label in r["value"]["labels"]
    ]
    stance = [c for r in results if r["type"] == "choices" for c in r["value"]["choices"]]
    data = task["data"]
    return {
        "id": str(data.get("id", task.get("id", ""))),
        "text": data["text"],
        "promotional": "not_promotional" not in stance if stance else data.get("promotional", False) or bool(spans),
        "spans": spans,
    }


def example_of(row: Mapping[str, Any], where: str) -> Example:
    """A checked training example. Raises FeedbackError for offsets outside the text, unknown labels or missing fields."""
    for name, kind in (("text", str), ("promotional", bool), ("spans", list)):
        if not isinstance(row.get(name), kind):
            raise FeedbackError(f"{where}: `{name}` is {row.get(name)!r}; expected {kind.__name__}")
    text, promotional = row["text"], row["promotional"]
    spans = []
    for span in row["spans"]:
        if span.get("label") not in SPAN_LABELS:
            raise FeedbackError(f"{where}: unknown label {span.get('label')!r}; allowed: {', '.join(SPAN_LABELS)}")
        if not 0 <= span["start"] < span["end"] <= len(text):
            raise FeedbackError(f"{where}: span {span['start']}–{span['end']} is outside the text of {len(text)}")
        spans.append(LabelledSpan(span["start"], span["end"], span["label"]))
    if not text.strip() or (spans and not promotional):
        raise FeedbackError(f"{where}: {'a text that does not sell carries spans' if spans else 'the text is empty'}")
    spans.sort(key=lambda s: (s.start, -s.end, s.label))
    missing = missing_labels(promotional, {s.label for s in spans})
    identifier = str(row.get("id") or where)
    return Example(identifier, text, "reviewed", promotional, tuple(spans), missing, f"feedback-{identifier}", "review")


@dataclass(frozen=True, slots=True)
class Intake:
    """Examples to train on, and a sentence for each row that was left out."""

    examples: list[Example]
    refused: list[str]


def take_in(paths: Sequence[Path], corpus: Sequence[Example]) -> Intake:
    """Check all rows of all files; leave out wrong ones, repeats, and texts close to a validation or test document."""
    index = MinHashLSH(threshold=_NEAR, num_perm=64)
    for example in corpus:
        if split_of(example) != "train":
            index.insert(example.id, _sketch(example.text))
    intake = Intake([], [])
    seen: set[str] = set()
    taken: set[str] = set()
    for path in paths:
        for where, row in raw_rows(path):
            try:
                example = example_of(row, where)
            except FeedbackError as error:
                intake.refused.append(str(error))
                continue
            if example.text in seen:
                intake.refused.append(f"{where}: the same text was taken before")
            elif near := index.query(_sketch(example.text)):
                intake.refused.append(f"{where}: nearly the same as {near[0]}, which is kept for measuring")
            else:
                if example.id in taken:
                    # Two desks number their documents alike.
                    digest = hashlib.sha256(example.text.encode()).hexdigest()[:12]
                    example = replace(example, id=f"{example.id}-{digest}", group=f"{example.group}-{digest}")
                taken.add(example.id)
                seen.add(example.text)
                intake.examples.append(example)
    return intake


def _sketch(text: str) -> MinHash:
    sketch = MinHash(num_perm=64, seed=1)
    sketch.update_batch([g.encode() for g in grams("".join(text.split()), 5)])
    return sketch


def read_extra(path: Path | None) -> list[Example]:
    """The examples of a file that `main` wrote."""
    if path is None:
        return []
    return [example_of(row, where) for where, row in raw_rows(path)]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.feedback", description=__doc__.split("\n")[0])
    parser.add_argument("exports", nargs="+", type=Path, help="decisions.jsonl of the desk, or Label Studio JSON")
    parser.add_argument("--out", type=Path, required=True, help="JSONL for `training.finetune --extra`")
    args = parser.parse_args(argv)
    try:
        intake = take_in(args.exports, load_corpus())
    except (FeedbackError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    lines = (json.dumps(e.as_json(), ensure_ascii=False) for e in intake.examples)
    args.out.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    for sentence in intake.refused:
        print(sentence, file=sys.stderr)
    print(f"{args.out}: {len(intake.examples)} taken, {len(intake.refused)} left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
