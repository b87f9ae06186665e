"""Score documents with a trained model in torch; the record is that of an exported bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from nlp_compliance.inference.encode import framed, load_characters, windows
from nlp_compliance.inference.runtime import DocumentScores, collect_windows
from nlp_compliance.records import ParsedDocument
from training.model import load_run


class TorchScorer:
    """Logits of the trained network, one window after another; slow and exact, to hold an export against."""

    def __init__(self, run: Path, *, max_tokens: int = 256, overlap: int = 64) -> None:
        self.table = load_characters(run / "tokenizer.json")
        self.model = load_run(run)
        self.max_tokens, self.overlap = max_tokens, overlap

    @torch.no_grad()
    def score(self, documents: Sequence[ParsedDocument]) -> list[DocumentScores]:
        return [self._score(d) for d in documents]

    def _score(self, parsed: ParsedDocument) -> DocumentScores:
        ids = self.table.encode(parsed.normal)
        spans = windows(len(ids), parsed.sentences, max_chars=self.max_tokens - 2, overlap=self.overlap)
        rows = []
        for span in spans:
            inputs = torch.from_numpy(framed(ids[span.start : span.end], self.table))
            tokens, document = self.model(inputs, torch.ones_like(inputs))
            size = span.end - span.start
            rows.append((span, tokens[0, 1 : size + 1].numpy().astype(np.float32), document[0].numpy()))
        return collect_windows(len(ids), rows)
