"""The labelled corpus: marked-up source in, checked JSONL splits out.

Source form, written and corrected by people:

* documents (`data/corpus/src/**/*.txt`), separated by lines of `===`: header lines `key: value`, a blank line, the
  text with spans written `[[label|text]]`, which may nest;
* sentence bank (`data/corpus/sentences/*.txt`): `+ sentence` carries the file's label, `- sentence` is a near miss.

`python -m training.corpus build` writes train, validation and test deterministically. Documents of the set `test`
were written apart and form the test split; once somebody has read the errors on such a series it becomes part of the
validation split (`validation`). Every other group falls into train or validation by the hash of its name.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from nlp_compliance.records import DISCLOSURE_TAGS, MISSING_LABELS, POINTER_TAG, SPAN_LABELS, missing_labels

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "data" / "corpus"
SPLITS = ("train", "validation", "test")
VALIDATION_PERCENT = 9

_MARK = re.compile(r"\[\[([a-z_]+)\||\]\]")
_SEPARATOR = re.compile(r"={3,}\s*")
_HEADER = re.compile(r"([a-z_]+): ?(.*)")
_KEYS = {"id", "genre", "promotional", "missing", "group", "set", "note", "disguise"}
_SETS = ("seed", "train", "validation", "test")
_REQUIRED = {"id", "genre", "promotional", "missing", "group", "set"}


class CorpusError(ValueError):
    """The corpus source is wrong; the message names file, line and reason."""


@dataclass(frozen=True, slots=True)
class LabelledSpan:
    """Code points [start, end) of the text carry `label`."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Example:
    """One corpus document; the fields are those of the JSONL line in `data/README.md`."""

    id: str
    text: str
    genre: str
    promotional: bool
    spans: tuple[LabelledSpan, ...]
    missing: tuple[str, ...]
    group: str
    source: str
    note: str = ""
    disguise: str = ""

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "text": self.text,
            "genre": self.genre,
            "promotional": self.promotional,
            "spans": [{"start": s.start, "end": s.end, "label": s.label} for s in self.spans],
            "missing": list(self.missing),
            "group": self.group,
            "source": self.source,
            "note": self.note,
            "disguise": self.disguise,
        }


@dataclass(frozen=True, slots=True)
class BankSentence:
    """One line of the sentence bank. `positive` says that the sentence carries the label it is filed under."""

    id: str
    text: str
    filed_under: str
    positive: bool
    spans: tuple[LabelledSpan, ...]
    voice: str


def parse_marked(marked: str, *, where: str) -> tuple[str, tuple[LabelledSpan, ...]]:
    """Plain text and spans of `marked`; spans ordered by start, longest first. Raises CorpusError on a bad mark."""
    plain: list[str] = []
    length = 0
    last = 0
    open_spans: list[tuple[str, int]] = []
    spans: list[LabelledSpan] = []
    for mark in _MARK.finditer(marked):
        chunk = marked[last : mark.start()]
        plain.append(chunk)
        length += len(chunk)
        last = mark.end()
        if mark.group(1):
            if mark.group(1) not in SPAN_LABELS:
                raise CorpusError(f"{where}: unknown label {mark.group(1)!r}; known: {', '.join(SPAN_LABELS)}")
            open_spans.append((mark.group(1), length))
        elif not open_spans:
            raise CorpusError(
                f"{where}: ']]' without '[[label|' near …{marked[max(0, mark.start() - 20) : mark.end()]}"
            )
        else:
            label, start = open_spans.pop()
            if start == length:
                raise CorpusError(f"{where}: empty span {label}")
            spans.append(LabelledSpan(start, length, label))
    plain.append(marked[last:])
    if open_spans:
        raise CorpusError(f"{where}: span {open_spans[-1][0]} is never closed")
    text = "".join(plain)
    if "[[" in text:
        raise CorpusError(f"{where}: '[[' without a label near …{text[text.index('[[') :][:30]}")
    for span in spans:
        run = text[span.start : span.end]
        if run != run.strip():
            raise CorpusError(f"{where}: span {span.label} begins or ends with white space: {run!r}")
    spans.sort(key=lambda s: (s.start, -s.end, s.label))
    return text, tuple(spans)


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number of the first line, lines) of every record of `path`."""
    start, lines = 1, []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if _SEPARATOR.fullmatch(line):
            if any(line.strip() for line in lines):
                yield start, lines
            start, lines = number + 1, []
        else:
            lines.append(line)
    if any(line.strip() for line in lines):
        yield start, lines


def _header(lines: list[str], where: str) -> tuple[dict[str, str], str]:
    while lines and not lines[0].strip():
        lines = lines[1:]
    header: dict[str, str] = {}
    for i, line in enumerate(lines):
        if not line.strip():
            return header, "\n".join(lines[i + 1 :]).strip("\n")
        match = _HEADER.fullmatch(line)
        if not match or match.group(1) not in _KEYS:
            raise CorpusError(f"{where}: header line {line!r}; allowed keys: {', '.join(sorted(_KEYS))}")
        header[match.group(1)] = match.group(2).strip()
    raise CorpusError(f"{where}: no blank line between header and text")


def _example(header: dict[str, str], marked: str, where: str) -> Example:
    if lacking := _REQUIRED - header.keys():
        raise CorpusError(f"{where}: header lacks {', '.join(sorted(lacking))}")
    if header["promotional"] not in ("yes", "no"):
        raise CorpusError(f"{where}: promotional is {header['promotional']!r}; allowed: yes, no")
    if header["set"] not in _SETS:
        raise CorpusError(f"{where}: set is {header['set']!r}; allowed: {', '.join(_SETS)}")
    text, spans = parse_marked(marked, where=where)
    promotional = header["promotional"] == "yes"
    declared = tuple(m.strip() for m in header["missing"].split(",") if m.strip() not in ("", "none"))
    if unknown := set(declared) - set(MISSING_LABELS):
        raise CorpusError(f"{where}: unknown missing label {', '.join(sorted(unknown))}")
    derived = missing_labels(promotional, {s.label for s in spans})
    if set(declared) != set(derived):
        raise CorpusError(
            f"{where}: missing says {', '.join(declared) or 'none'}; the spans say {', '.join(derived) or 'none'}"
        )
    if spans and not promotional:
        raise CorpusError(f"{where}: a text that is not promotional carries span {spans[0].label}")
    if not text.strip():
        raise CorpusError(f"{where}: empty text")
    return Example(
        id=header["id"],
        text=text,
        genre=header["genre"],
        promotional=promotional,
        spans=spans,
        missing=derived,
        group=header["group"],
        source=header["set"],
        note=header.get("note", ""),
        disguise=header.get("disguise", ""),
    )


@lru_cache(maxsize=1)
def known_names() -> tuple[str, ...]:
    """Names of real plans and insurers that no corpus text may carry."""
    lines = (Path(__file__).parent / "known_names.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def _check_names(text: str, where: str) -> None:
    for name in known_names():
        if name in text:
            raise CorpusError(f"{where}: names the real plan or insurer {name!r}; use an invented name")


def read_documents(path: Path) -> tuple[list[Example], list[CorpusError]]:
    """All documents of one source file, and one error for each record that is wrong."""
    examples: list[Example] = []
    errors: list[CorpusError] = []
    for line, lines in _records(path):
        where = f"{path.name}:{line}"
        try:
            example = _example(*_header(lines, where), where)
            _check_names(example.text, where)
            examples.append(example)
        except CorpusError as error:
            errors.append(error)
    return examples, errors


def read_sentences(path: Path) -> tuple[list[BankSentence], list[CorpusError]]:
    """All sentences of one bank file, named after its label (`disclosures*.txt` holds every disclosure tag)."""
    label = re.sub(r"-\d+$", "", path.stem)
    sentences: list[BankSentence] = []
    errors: list[CorpusError] = []
    voice = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{path.name}:{number}"
        if line.startswith("## "):
            voice = line[3:].strip()
        elif line[:2] in ("+ ", "- "):
            try:
                text, spans = parse_marked(line[2:].strip(), where=where)
                _check_names(text, where)
                _check_bank_line(label, line[0] == "+", {s.label for s in spans}, where)
            except CorpusError as error:
                errors.append(error)
                continue
            sentences.append(BankSentence(f"{path.stem}:{number}", text, label, line[0] == "+", spans, voice))
        elif line.strip():
            errors.append(CorpusError(f"{where}: a line begins with '+ ', '- ' or '## '; found {line[:20]!r}"))
    return sentences, errors


def _check_bank_line(label: str, positive: bool, found: set[str], where: str) -> None:
    wanted = {*DISCLOSURE_TAGS, POINTER_TAG} if label == "disclosures" else {label}
    if positive and not found & wanted:
        raise CorpusError(f"{where}: a '+' line carries no span of {label}")
    if not positive and label != "disclosures" and label in found:
        raise CorpusError(f"{where}: a '-' line carries a span of {label}")


def source_files(root: Path = CORPUS) -> list[Path]:
    return sorted((root / "src").rglob("*.txt"))


def bank_files(root: Path = CORPUS) -> list[Path]:
    return sorted(p for p in (root / "sentences").glob("*.txt"))


def split_of(example: Example) -> str:
    """The split of a document: what was written apart stays where its set says, the rest goes by the hash of its group."""
    if example.source in ("test", "validation"):
        return example.source
    bucket = int.from_bytes(hashlib.sha256(example.group.encode()).digest()[:4], "big") % 100
    return "validation" if bucket < VALIDATION_PERCENT else "train"


def series_of(example: Example) -> str:
    """What one writer wrote: the letters that begin the id."""
    return re.split(r"[^a-z]", example.id, maxsplit=1)[0]


def load_corpus(root: Path = CORPUS) -> list[Example]:
    """Every document of the source, in order of file and place. Raises CorpusError naming all faults."""
    examples: list[Example] = []
    errors: list[CorpusError] = []
    for path in source_files(root):
        good, bad = read_documents(path)
        examples += good
        errors += bad
    seen: dict[str, Example] = {}
    for example in examples:
        if example.id in seen:
            errors.append(CorpusError(f"id {example.id} occurs twice"))
        seen[example.id] = example
    errors += _group_errors(examples)
    if errors:
        raise CorpusError("\n".join(str(e) for e in errors))
    return examples


def _group_errors(examples: list[Example]) -> list[CorpusError]:
    splits: dict[str, set[str]] = {}
    for example in examples:
        splits.setdefault(example.group, set()).add(split_of(example))
    return [CorpusError(f"group {g} stands in {sorted(s)}") for g, s in splits.items() if len(s) > 1]


def load_sentences(root: Path = CORPUS) -> list[BankSentence]:
    """The whole sentence bank. Raises CorpusError naming all faults."""
    sentences: list[BankSentence] = []
    errors: list[CorpusError] = []
    for path in bank_files(root):
        good, bad = read_sentences(path)
        sentences += good
        errors += bad
    if errors:
        raise CorpusError("\n".join(str(e) for e in errors))
    return sentences


def load_split(split: str, root: Path = CORPUS) -> list[Example]:
    """The documents of one split, read from source, so that it can never be stale."""
    if split not in SPLITS:
        raise CorpusError(f"split is {split!r}; allowed: {', '.join(SPLITS)}")
    return [e for e in load_corpus(root) if split_of(e) == split]


def share_of(examples: Sequence[Example], share: float, seed: int) -> list[Example]:
    """The documents of a random share of the groups; a larger share holds the smaller one."""
    groups = sorted({e.group for e in examples})
    random.Random(seed).shuffle(groups)
    kept = set(groups[: round(len(groups) * share)])
    return [e for e in examples if e.group in kept]


def build(root: Path = CORPUS) -> dict[str, int]:
    """Write `{train,validation,test}.jsonl` and `sentences.jsonl` under `root`; the number of lines of each."""
    examples = load_corpus(root)
    written: dict[str, int] = {}
    for split in SPLITS:
        rows = [e.as_json() for e in examples if split_of(e) == split]
        written[split] = _write_jsonl(root / f"{split}.jsonl", rows)
    return written


def _write_jsonl(path: Path, rows: Iterable[dict[str, object]]) -> int:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return len(lines)


def lint(paths: list[Path]) -> tuple[int, list[CorpusError]]:
    """Check single files; bank files are told by their folder `sentences`. Returns records read and faults."""
    count, errors = 0, []
    for path in paths:
        reader = read_sentences if path.parent.name == "sentences" else read_documents
        good, bad = reader(path)
        count += len(good)
        errors += bad
    return count, errors


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.corpus", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="check everything and write the JSONL splits")
    lint_parser = commands.add_parser("lint", help="check single source files")
    lint_parser.add_argument("paths", nargs="+", type=Path)
    args = parser.parse_args(argv)
    if args.command == "lint":
        count, errors = lint(args.paths)
        for error in errors:
            print(error)
        print(f"{count} records good, {len(errors)} faults")
        return 1 if errors else 0
    try:
        written = build()
    except CorpusError as error:
        print(error, file=sys.stderr)
        return 1
    for split, count in written.items():
        print(f"{split}: {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
