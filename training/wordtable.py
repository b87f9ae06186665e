"""Words beside the characters: what an encoder of a few layers would otherwise spend its layers and its text on.

Around every character stand at most three words of two or three characters that a fixed list may hold; their vectors,
learned by `training.words` from far more text than the encoder is shown, are projected and added to the character's embedding.
The rows are found from the token ids inside the network, so inputs and tokenizer stay those of a plain encoder; a masked
or disguised character matches no word. The table itself is never trained further: what is not in the few thousand
labelled texts must still mean the same as its neighbours that are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file as load_array
from safetensors.torch import load_file, save_file
from torch import nn

FILE = "words.safetensors"
VECTORS = "vectors.safetensors"
WORDS = "words.txt"
# Ids are below 2**13, so a word of three is one number below 2**39 and no word of two equals a word of three.
_BASE = 1 << 13
# A prime, so that the remainder spreads the codes; at 60,000 words about 3% share a slot and the rarer one is lost.
_SLOTS = 1_048_573


class WordTable(nn.Module):
    """Ids of shape (rows, tokens) to vectors of shape (rows, tokens, width), to be added to the embeddings.

    `codes` has shape (words + 1,), the code of every word, most frequent first, after a row for none; `vectors` has
    shape (words + 1, size). Both are fixed; only the projection is trained.
    """

    codes: torch.Tensor
    vectors: torch.Tensor
    slots: torch.Tensor

    def __init__(self, codes: torch.Tensor, vectors: torch.Tensor, width: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("codes", codes)
        self.register_buffer("vectors", vectors)
        self.register_buffer("slots", _slots(codes), persistent=False)
        self.project = nn.Linear(3 * vectors.shape[1], width, bias=False)
        self.dropout = dropout
        nn.init.normal_(self.project.weight, std=0.02)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        # Beyond the borders stands [PAD] (id 0), padded or not, so a row does not depend on its batch.
        left = nn.functional.pad(ids[:, :-1], (1, 0))
        right = nn.functional.pad(ids[:, 1:], (0, 1))
        pair = left * _BASE + ids
        words = (pair, ids * _BASE + right, pair * _BASE + right)
        found = torch.cat([self.vectors[self._rows(w)] for w in words], dim=-1)
        if self.training and self.dropout:
            # Whole windows without words, so that the characters alone must do: a disguise leaves nothing else.
            keep = torch.rand(ids.shape[0], 1, 1, device=ids.device) >= self.dropout
            found = found * keep
        return self.project(found)

    def _rows(self, code: torch.Tensor) -> torch.Tensor:
        row = self.slots[code % _SLOTS].long()
        return row * (self.codes[row] == code)


def _slots(codes: torch.Tensor) -> torch.Tensor:
    """Row of every slot, 0 where none; of two words in one slot the more frequent, written last, stays."""
    slots = np.zeros(_SLOTS, dtype=np.int32)
    rows = np.arange(len(codes) - 1, 0, -1)
    slots[codes.numpy()[rows] % _SLOTS] = rows
    return torch.from_numpy(slots)


def word_table(words: Sequence[str], vectors: np.ndarray, ids: Mapping[str, int], width: int) -> WordTable:
    """The table of `words` (most frequent first; `vectors` of shape (words, size)) for a tokenizer's `ids`.

    Words with a character outside the tokenizer are left out.
    """
    known = [i for i, word in enumerate(words) if all(c in ids for c in word)]
    codes = [0]
    for i in known:
        code = 0
        for char in words[i]:
            code = code * _BASE + ids[char]
        codes.append(code)
    rows = np.concatenate([np.zeros((1, vectors.shape[1]), np.float32), vectors[known].astype(np.float32)])
    return WordTable(torch.tensor(codes), torch.from_numpy(rows), width)


def read_vectors(folder: Path) -> tuple[list[str], np.ndarray]:
    """What `training.words` wrote: the words and their vectors of shape (words, size)."""
    words = (folder / WORDS).read_text(encoding="utf-8").split("\n")[:-1]
    return words, load_array(folder / VECTORS)["vectors"].astype(np.float32)


def save_words(table: WordTable, folder: Path) -> None:
    """Write the tensors beside the encoder, the vectors in half precision."""
    tensors = {"codes": table.codes, "vectors": table.vectors.half(), "project.weight": table.project.weight.half()}
    save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, folder / FILE)


def load_words(folder: Path) -> WordTable | None:
    """The words that were pretrained with the encoder in `folder`, or None where there are none."""
    return words_from(load_file(folder / FILE)) if (folder / FILE).is_file() else None


def words_from(tensors: Mapping[str, torch.Tensor]) -> WordTable:
    """The module that holds `tensors` (`codes`, `vectors`, `project.weight`)."""
    project = tensors["project.weight"].float()
    table = WordTable(tensors["codes"], tensors["vectors"].float(), project.shape[0])
    table.project.weight.data.copy_(project)
    return table
