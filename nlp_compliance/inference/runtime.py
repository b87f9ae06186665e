"""Scores windows of text with ONNX Runtime. The only file that imports `onnxruntime`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from nlp_compliance.errors import BundleError
from nlp_compliance.inference.bundle import DOCUMENT_LABELS, Bundle
from nlp_compliance.inference.encode import CharacterTable, framed, load_characters, windows
from nlp_compliance.records import SPAN_LABELS, ParsedDocument, Span

Floats = npt.NDArray[np.float32]
# The logit of what was never scored: a probability of practically zero.
NOTHING = -20.0


@dataclass(frozen=True, slots=True)
class DocumentScores:
    """Logits of one document: `tokens` of shape (n_chars, n_token_labels), `document` of shape (n_document_labels,)."""

    tokens: Floats
    document: Floats


class Encoder:
    """One ONNX session that scores one window at a time, so memory is bounded by the longest window.

    Windows do not share a batch: int8 activations are scaled by the range of the whole batch, and one text would change
    the score of another. On one thread that costs nothing from about a hundred tokens on (measured: 0.92 to 0.95 times
    the time of a batch of 16 at 256 and 128 tokens, 1.24 times at 32).
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = open_session(bundle.model_path, options)
        except Exception as error:
            # onnxruntime raises several unrelated classes for a file that it cannot load.
            raise BundleError(f"{bundle.model_path}: ONNX Runtime cannot load it ({error})") from error
        self.bundle = bundle
        self.table: CharacterTable = load_characters(bundle.tokenizer_path)

    def score(self, documents: Sequence[ParsedDocument]) -> list[DocumentScores]:
        """Logits of every document, in order."""
        return [self._score(parsed) for parsed in documents]

    def _score(self, parsed: ParsedDocument) -> DocumentScores:
        rows = []
        for span, ids in self.feeds(parsed):
            tokens, document = self.run(ids)
            rows.append((span, tokens[0, 1:-1], document[0]))
        return collect_windows(len(parsed.normal), rows)

    def run(self, ids: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Logits of one window of ids of shape (1, tokens): (1, tokens, n_token_labels), (1, n_document_labels)."""
        tokens, document = self._session.run(None, {"input_ids": ids})
        return tokens, document

    def feeds(self, parsed: ParsedDocument) -> Iterator[tuple[Span, npt.NDArray[np.int64]]]:
        """Every window of a document: its span of normal text, and its ids of shape (1, length + 2)."""
        ids = self.table.encode(parsed.normal)
        spans = windows(len(ids), parsed.sentences, max_chars=self.bundle.max_tokens - 2, overlap=self.bundle.overlap)
        for span in spans:
            yield span, framed(ids[span.start : span.end], self.table)


def open_session(model: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """The network as it is served, on the processor. Raises what onnxruntime raises, several unrelated classes."""
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # The fused operator takes longer on a processor than the two that it replaces: without it a window takes 0.976 of the time.
    return onnxruntime.InferenceSession(
        str(model), options, providers=["CPUExecutionProvider"], disabled_optimizers=["SkipLayerNormFusion"]
    )


def collect_windows(length: int, rows: Sequence[tuple[Span, Floats, Floats]]) -> DocumentScores:
    """Put the windows of one document together; the order in which they were scored does not matter.

    A character seen by two windows takes the logits of the window in which it stands further from a border. Over
    windows `promotional` is the mean weighted by length, every other document label the maximum: a document has a
    claim when one of its windows has it, and its stance is that of the whole.
    """
    tokens = np.full((length, len(SPAN_LABELS)), NOTHING, dtype=np.float32)
    if not rows:
        return DocumentScores(tokens, np.full(len(DOCUMENT_LABELS), NOTHING, dtype=np.float32))
    rows = sorted(rows, key=lambda row: row[0].start)
    margins = np.full(length, -1, dtype=np.int64)
    for span, window_tokens, _ in rows:
        places = np.arange(span.end - span.start)
        margin = np.minimum(places, len(places) - 1 - places)
        better = margin > margins[span.start : span.end]
        tokens[span.start : span.end][better] = window_tokens[better]
        margins[span.start : span.end][better] = margin[better]
    stacked = np.stack([document for _, _, document in rows])
    document = stacked.max(axis=0)
    document[0] = np.average(stacked[:, 0], weights=[span.end - span.start for span, _, _ in rows])
    return DocumentScores(tokens, document.astype(np.float32))
