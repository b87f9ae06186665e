"""Hashed n-grams beside the characters: what an encoder of a few layers would otherwise spend its layers on.

A Chinese word is mostly two or three characters. The sum of a character's embedding and those of the bigrams and the
trigram around it hands words to the first layer; the table costs memory and hardly any time. The buckets are computed
from the token ids inside the network, so that inputs and tokenizer stay those of a plain encoder, and a masked
character masks every n-gram it belongs to. The encoder itself stays a standard one that opens by itself.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

FILE = "ngrams.safetensors"
# Primes below 2**20, so that a sum of three products with ids below 2**16 stays far inside int64.
_LEFT, _MIDDLE, _RIGHT = 999_983, 611_953, 350_377


class NgramEmbedding(nn.Module):
    """Ids of shape (rows, tokens) to vectors of shape (rows, tokens, width) to be added to the embeddings."""

    def __init__(self, width: int, *, buckets: int = 1 << 16, size: int = 128) -> None:
        super().__init__()
        self.table = nn.Embedding(buckets, size)
        self.project = nn.Linear(3 * size, width, bias=False)
        nn.init.normal_(self.table.weight, std=0.05)
        nn.init.normal_(self.project.weight, std=0.02)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        # Beyond the borders stands [PAD] (id 0), padded or not, so a row does not depend on its batch.
        left = nn.functional.pad(ids[:, :-1], (1, 0))
        right = nn.functional.pad(ids[:, 1:], (0, 1))
        before = left * _LEFT + ids * _MIDDLE
        after = ids * _LEFT + right * _MIDDLE
        around = left * _LEFT + ids * _MIDDLE + right * _RIGHT
        buckets = self.table.num_embeddings
        return self.project(torch.cat([self.table(x % buckets) for x in (before, after, around)], dim=-1))


def save_ngrams(ngrams: NgramEmbedding, folder: Path) -> None:
    """Write the tensors in half precision beside the encoder."""
    save_file({k: v.half().contiguous().cpu() for k, v in ngrams.state_dict().items()}, folder / FILE)


def load_ngrams(folder: Path) -> NgramEmbedding | None:
    """The n-grams that were pretrained with the encoder in `folder`, or None where there are none."""
    if not (folder / FILE).is_file():
        return None
    return ngrams_from({k: v.float() for k, v in load_file(folder / FILE).items()})


def ngrams_from(tensors: dict[str, torch.Tensor]) -> NgramEmbedding:
    """The module that holds `tensors` (`table.weight`, `project.weight`)."""
    buckets, size = tensors["table.weight"].shape
    ngrams = NgramEmbedding(tensors["project.weight"].shape[0], buckets=buckets, size=size)
    ngrams.load_state_dict(tensors)
    return ngrams
