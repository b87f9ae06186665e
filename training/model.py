"""The trained network: one encoder, a token output and a window output, each multi-label."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch._inductor.exc import InductorError
from transformers import AutoConfig, AutoModel, PreTrainedModel

from nlp_compliance.inference.bundle import DOCUMENT_LABELS
from nlp_compliance.records import SPAN_LABELS
from training.wordtable import WordTable, load_words, words_from

WEIGHTS = "model.safetensors"
SETTINGS = "finetune.json"
_WORDS = "words."
# On a processor the backward pass of fused attention takes a quarter of a step over windows of 256 tokens, all of attention
# written out less than that; a step takes 0.85 of its time (one core with AMX, 4,096 tokens).
TRAINED_ATTENTION = "sdpa" if torch.cuda.is_available() else "eager"


class SpanDocumentModel(nn.Module):
    """Logits of shape (windows, tokens, len(SPAN_LABELS)) and (windows, len(DOCUMENT_LABELS)).

    The window output reads `[CLS]`, the mean and the maximum over tokens: the mean carries stance, the maximum a
    short claim. `words` are added to the embeddings of an encoder that was pretrained with them.
    """

    def __init__(self, encoder: PreTrainedModel, words: WordTable | None = None, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.words = words
        width = encoder.config.hidden_size
        self.dropout = nn.Dropout(dropout)
        self.token_head = nn.Linear(width, len(SPAN_LABELS))
        self.pool = nn.Linear(3 * width, width)
        self.document_head = nn.Linear(width, len(DOCUMENT_LABELS))
        # Labels are rare: starting at their base rate saves the first hundred steps.
        nn.init.constant_(self.token_head.bias, -3.0)
        nn.init.constant_(self.document_head.bias, -1.5)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        embedded = self.embed(input_ids)
        hidden = self.encoder(inputs_embeds=embedded, attention_mask=attention_mask).last_hidden_state
        return self.heads(hidden, attention_mask)

    def embed(self, input_ids: torch.Tensor) -> torch.Tensor:
        embedded = self.encoder.get_input_embeddings()(input_ids)
        return embedded if self.words is None else embedded + self.words(input_ids)

    def heads(self, hidden: torch.Tensor, attention_mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Both outputs from the last hidden states; without a mask nothing is padding."""
        hidden = self.dropout(hidden)
        if attention_mask is None:
            mean, highest = hidden.mean(1), hidden.amax(1)
        else:
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)
            highest = (hidden - (1.0 - mask) * 1e4).amax(1)
        pooled = torch.tanh(self.pool(torch.cat([hidden[:, 0], mean, highest], dim=-1)))
        return self.token_head(hidden), self.document_head(self.dropout(pooled))


def start_model(base: str, *, dropout: float, without_pretraining: bool = False) -> SpanDocumentModel:
    """A model to fine-tune from any encoder, by folder or hub name, that `AutoModel` opens, or from an earlier run.

    `without_pretraining` keeps the shape alone: every weight of the encoder anew and no word table, for comparison.
    """
    if (Path(base) / SETTINGS).is_file():
        model = load_run(Path(base), attention=TRAINED_ATTENTION)
        model.dropout.p = dropout
    else:
        encoder = AutoModel.from_pretrained(base, dtype=torch.float32, attn_implementation=TRAINED_ATTENTION)
        model = SpanDocumentModel(encoder, load_words(Path(base)), dropout=dropout)
    if without_pretraining:
        for module in model.encoder.modules():
            model.encoder._init_weights(module)
        model.words = None
    return model


def fuse(model: nn.Module) -> None:
    """Compile both passes of `model` in place; a step of the shipped shape then takes three quarters of its time on a processor.

    Where there is no C++ compiler or Python's headers are missing it says so and changes nothing but the speed.
    """
    try:
        torch.compile(torch.sin, dynamic=True)(torch.zeros(8))
    except InductorError as error:
        print(f"not compiled, which takes longer and ends the same: {str(error).splitlines()[0]}", file=sys.stderr)
    else:
        model.compile(dynamic=True)


def load_run(run: Path, *, attention: str = "sdpa") -> SpanDocumentModel:
    """The model of a fine-tuning run, in evaluation mode."""
    weights = {k: v.float() if v.is_floating_point() else v for k, v in load_file(run / WEIGHTS).items()}
    encoder = AutoModel.from_config(AutoConfig.from_pretrained(run), attn_implementation=attention)
    own = {k.removeprefix(_WORDS): v for k, v in weights.items() if k.startswith(_WORDS)}
    model = SpanDocumentModel(encoder, words_from(own) if own else None)
    model.load_state_dict(weights)
    return model.eval()


def keep_run(run: Path, folder: Path) -> None:
    """Copy a run in half precision, so that it can be kept in the repository and gone on from with `--base`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = load_file(run / WEIGHTS)
    save_file({k: v.half() if v.is_floating_point() else v for k, v in weights.items()}, folder / WEIGHTS)
    for name in ("config.json", "tokenizer.json"):
        shutil.copyfile(run / name, folder / name)
    settings = json.loads((run / SETTINGS).read_text(encoding="utf-8"))
    # Folders of the machine it was trained on say nothing to anybody else.
    kept = {k: v for k, v in settings.items() if k not in ("base", "out", "negatives", "extra", "teacher")}
    (folder / SETTINGS).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
