"""The trained network: one encoder, a token output and a window output, each multi-label."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedModel

from nlp_compliance.inference.bundle import DOCUMENT_LABELS
from nlp_compliance.records import SPAN_LABELS


class SpanDocumentModel(nn.Module):
    """Logits of shape (windows, tokens, len(SPAN_LABELS)) and (windows, len(DOCUMENT_LABELS)).

    The window output reads `[CLS]`, the mean and the maximum over tokens: the mean carries stance, the maximum a
    short claim.
    """

    def __init__(self, encoder: PreTrainedModel, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.dropout = nn.Dropout(dropout)
        self.token_head = nn.Linear(width, len(SPAN_LABELS))
        self.pool = nn.Linear(3 * width, width)
        self.document_head = nn.Linear(width, len(DOCUMENT_LABELS))
        # Labels are rare: starting at their base rate saves the first hundred steps.
        nn.init.constant_(self.token_head.bias, -3.0)
        nn.init.constant_(self.document_head.bias, -1.5)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.heads(hidden, attention_mask)

    def heads(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.dropout(hidden)
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)
        highest = (hidden - (1.0 - mask) * 1e4).max(1).values
        pooled = torch.tanh(self.pool(torch.cat([hidden[:, 0], mean, highest], dim=-1)))
        return self.token_head(hidden), self.document_head(self.dropout(pooled))


def load_encoder(base: str, *, attention: str = "sdpa") -> PreTrainedModel:
    """Any encoder by folder or hub name that `AutoModel` opens; half-precision weights are read as float32."""
    return AutoModel.from_pretrained(base, dtype=torch.float32, attn_implementation=attention)


def load_config_model(run: Path, *, attention: str = "sdpa") -> PreTrainedModel:
    """The encoder's architecture with random weights, from the `config.json` of a fine-tuning run."""
    return AutoModel.from_config(AutoConfig.from_pretrained(run), attn_implementation=attention)
