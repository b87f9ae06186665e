"""Scores windows of text with ONNX Runtime. The only file that imports `onnxruntime`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime

from nlp_compliance.errors import BundleError
from nlp_compliance.inference.bundle import Bundle
from nlp_compliance.inference.encode import CharacterTable, framed, load_characters, windows
from nlp_compliance.records import ParsedDocument, Span

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DocumentScores:
    """Logits of one document: `tokens` of shape (n_chars, n_token_labels), `document` of shape (n_document_labels,)."""

    tokens: Floats
    document: Floats


@dataclass(frozen=True, slots=True)
class _Window:
    document: int
    span: Span
    ids: npt.NDArray[np.int64]


class Encoder:
    """One ONNX session. `batch_tokens` bounds the padded size of a batch (windows x longest), so memory is bounded."""

    def __init__(self, bundle: Bundle, *, threads: int = 1, batch_tokens: int = 4096) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(bundle.model_path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # onnxruntime raises several unrelated classes for a file that it cannot load.
            raise BundleError(f"{bundle.model_path}: ONNX Runtime cannot load it ({error})") from error
        self.bundle = bundle
        self.table: CharacterTable = load_characters(bundle.tokenizer_path)
        self.batch_tokens = batch_tokens

    def score(self, documents: Sequence[ParsedDocument]) -> list[DocumentScores]:
        """Logits of every document, in order. Windows of all documents share batches sorted by length."""
        pending = [w for i, parsed in enumerate(documents) for w in self._windows(i, parsed)]
        collected = [_Collected(len(d.normal), self.bundle) for d in documents]
        for batch in self._batches(pending):
            ids, mask = framed([w.ids for w in batch], self.table)
            tokens, document = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
            for row, window in enumerate(batch):
                size = window.span.end - window.span.start
                collected[window.document].add(window.span, tokens[row, 1 : size + 1], document[row])
        return [c.result() for c in collected]

    def _windows(self, index: int, parsed: ParsedDocument) -> list[_Window]:
        ids = self.table.encode(parsed.normal)
        spans = windows(
            len(ids), parsed.sentences, max_chars=self.bundle.max_tokens - 2, overlap=self.bundle.overlap
        )
        return [_Window(index, s, ids[s.start : s.end]) for s in spans]

    def _batches(self, pending: list[_Window]) -> list[list[_Window]]:
        batches: list[list[_Window]] = []
        for window in sorted(pending, key=lambda w: len(w.ids)):
            longest = len(window.ids) + 2
            if not batches or longest * (len(batches[-1]) + 1) > self.batch_tokens:
                batches.append([])
            batches[-1].append(window)
        return batches


class _Collected:
    """Puts the windows of one document together, in whatever order they come.

    A character seen by two windows takes the logits of the window in which it stands further from a border. Over
    windows `promotional` is the mean weighted by length, every other document label the maximum: a document has a
    claim when one of its windows has it, and its stance is that of the whole.
    """

    def __init__(self, length: int, bundle: Bundle) -> None:
        self.tokens = np.full((length, len(bundle.token_labels)), -20.0, dtype=np.float32)
        self._margin = np.full(length, -1, dtype=np.int64)
        self._rows: list[Floats] = []
        self._weights: list[int] = []

    def add(self, span: Span, tokens: Floats, document: Floats) -> None:
        size = span.end - span.start
        places = np.arange(size)
        margin = np.minimum(places, size - 1 - places)
        better = margin > self._margin[span.start : span.end]
        self.tokens[span.start : span.end][better] = tokens[better]
        self._margin[span.start : span.end][better] = margin[better]
        self._rows.append(document)
        self._weights.append(size)

    def result(self) -> DocumentScores:
        if not self._rows:
            return DocumentScores(self.tokens, np.full(1 + self.tokens.shape[1], -20.0, dtype=np.float32))
        # Sorted so that the sum does not depend on the order in which batches were run.
        order = sorted(range(len(self._rows)), key=lambda i: (self._weights[i], self._rows[i].tobytes()))
        rows = np.stack([self._rows[i] for i in order])
        document = rows.max(axis=0)
        document[0] = np.average(rows[:, 0], axis=0, weights=[self._weights[i] for i in order])
        return DocumentScores(self.tokens, document.astype(np.float32))
