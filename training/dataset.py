"""From corpus records to model inputs: normal text, token targets, windows and packed sentences.

Everything goes through the package's own `parse` and `windows`, so that training sees exactly what serving sees.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nlp_compliance.inference.bundle import DOCUMENT_LABELS
from nlp_compliance.inference.encode import CharacterTable, windows
from nlp_compliance.records import SPAN_LABELS, VIOLATION_LABELS, Document, ParsedDocument
from nlp_compliance.text.parse import parse
from training.corpus import BankSentence, Example, LabelledSpan

UNKNOWN = -1.0
# Batches are padded to multiples of this. On a processor PyTorch (oneDNN) keeps a compiled product of some 3 MB for every
# new shape, up to 1,024 of them: with lengths as they come a run's memory went on growing beyond 8 GB.
LENGTH_STEP = 16


@dataclass(frozen=True, slots=True)
class Window:
    """One model input with its targets.

    `ids` has shape (n,), `tokens` (n, len(SPAN_LABELS)) of 0/1, `document` (len(DOCUMENT_LABELS),) of 0, 1 or
    UNKNOWN where the writer did not say. `owner` numbers the document, so that its windows can be judged together.
    """

    ids: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int8]
    document: npt.NDArray[np.float32]
    owner: int
    weight: float = 1.0


def parsed(text: str) -> ParsedDocument:
    """The parsed form of a bare text."""
    return parse(Document(id="", text=text))


def token_targets(document: ParsedDocument, spans: Sequence[LabelledSpan]) -> npt.NDArray[np.int8]:
    """1 where a normal character overlaps a span of the original text, shape (len(normal), len(SPAN_LABELS))."""
    targets = np.zeros((len(document.normal), len(SPAN_LABELS)), dtype=np.int8)
    starts, ends = np.asarray(document.starts), np.asarray(document.ends)
    for span in spans:
        inside = (starts < span.end) & (ends > span.start)
        targets[inside, SPAN_LABELS.index(span.label)] = 1
    return targets


def document_windows(
    text: str,
    spans: Sequence[LabelledSpan],
    promotional: float,
    table: CharacterTable,
    *,
    owner: int,
    max_tokens: int,
    overlap: int,
    weight: float = 1.0,
) -> list[Window]:
    """All windows of one text; labels of a window are those whose spans reach into it, stance is the document's."""
    document = parsed(text)
    ids = table.encode(document.normal)
    targets = token_targets(document, spans)
    out = []
    for span in windows(len(ids), document.sentences, max_chars=max_tokens - 2, overlap=overlap):
        part = targets[span.start : span.end]
        labels = np.concatenate([[promotional], part.max(axis=0)]).astype(np.float32)
        out.append(Window(ids[span.start : span.end], part, labels, owner, weight))
    return out


def example_windows(
    examples: Sequence[Example], table: CharacterTable, *, max_tokens: int, overlap: int
) -> list[list[Window]]:
    """The windows of every document, one list a document."""
    return [
        document_windows(e.text, e.spans, float(e.promotional), table, owner=i, max_tokens=max_tokens, overlap=overlap)
        for i, e in enumerate(examples)
    ]


def pack_sentences(
    sentences: Sequence[BankSentence], rng: random.Random, *, max_chars: int
) -> Iterator[tuple[str, list[LabelledSpan]]]:
    """Shuffle the bank into short texts of a few sentences each, spans carried along.

    Sentences stand apart on lines: a near miss beside a violation teaches that the words around decide, not the page.
    """
    order = list(sentences)
    rng.shuffle(order)
    text, spans = "", []
    for sentence in order:
        if text and (len(text) + len(sentence.text) > max_chars or rng.random() < 0.25):
            yield text, spans
            text, spans = "", []
        offset = len(text) + 1 if text else 0
        text = f"{text}\n{sentence.text}" if text else sentence.text
        spans = spans + [LabelledSpan(s.start + offset, s.end + offset, s.label) for s in sentence.spans]
    if text:
        yield text, spans


def bank_split(sentence: BankSentence) -> str:
    """Bank sentences are split by voice section, so that a validation sentence has no sister in train."""
    key = f"{sentence.filed_under}/{sentence.voice}"
    return "validation" if hashlib.sha256(key.encode()).digest()[0] < 20 else "train"


def label_balanced(examples: Sequence[Example], rng: random.Random) -> list[Example]:
    """As many documents as given, those of rare violation labels more often (repeat factors, Gupta et al. 2019).

    A label at a fraction f of the commonest one's documents counts sqrt(1 / f), a document as much as its rarest label,
    one without violation once.
    """
    own = [{s.label for s in e.spans if s.label in VIOLATION_LABELS} for e in examples]
    counts = Counter(label for labels in own for label in labels)
    most = max(counts.values(), default=1)
    factors = [max((math.sqrt(most / counts[label]) for label in labels), default=1.0) for labels in own]
    repeated = [e for e, f in zip(examples, factors, strict=True) for _ in range(int(f) + (rng.random() < f % 1))]
    return rng.sample(repeated, len(examples))


def padded_length(row: Window) -> int:
    """Tokens of a window with its two frame tokens, rounded up to a multiple of LENGTH_STEP."""
    return math.ceil((len(row.ids) + 2) / LENGTH_STEP) * LENGTH_STEP


def collate(rows: Sequence[Window], table: CharacterTable) -> dict[str, npt.NDArray[np.generic]]:
    """Pad windows into arrays: ids and mask (n, longest), tokens (n, longest, labels), document (n, labels)."""
    longest = max(padded_length(r) for r in rows)
    ids = np.full((len(rows), longest), table.pad, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    tokens = np.zeros((len(rows), longest, len(SPAN_LABELS)), dtype=np.float32)
    for i, row in enumerate(rows):
        size = len(row.ids)
        ids[i, 0], ids[i, 1 : size + 1], ids[i, size + 1] = table.first, row.ids, table.last
        mask[i, : size + 2] = 1
        tokens[i, 1 : size + 1] = row.tokens
    return {
        "ids": ids,
        "mask": mask,
        "tokens": tokens,
        "document": np.stack([r.document for r in rows]),
        "weight": np.array([r.weight for r in rows], dtype=np.float32),
    }


def empty_document_targets(promotional: float) -> npt.NDArray[np.float32]:
    """Document targets of a text that carries no label."""
    out = np.zeros(len(DOCUMENT_LABELS), dtype=np.float32)
    out[0] = promotional
    return out


def read_negatives(path: Path | None) -> list[str]:
    """Label-free passages, one JSON object with `text` a line (training/mine.py makes the file)."""
    if path is None:
        return []
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").split("\n") if line]
