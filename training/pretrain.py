"""Masked-language pretraining of a small Chinese encoder with whole-word masking by jieba.

Reads text files of any size (`.txt` one document a line, `.jsonl` with a `text` field, either `.xz`), keeps the tokens
in a cache on disk, and writes a standard Hugging Face folder that opens with `AutoModel.from_pretrained`.
The learning rate follows the share of the time budget that is used up, so a run on a busy machine still ends cooled
down. A run that is killed goes on from its last checkpoint when started again with the same command.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import jieba
import numpy as np
import torch
from torch import nn
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedModel,
)

from training.muon import Muon
from training.precision import mixed_precision
from training.tokenizer import PUNCTUATION_FOLD, build_tokenizer, choose_vocabulary, count_characters, save_tokenizer
from training.wordtable import WordTable, load_words, read_vectors, save_words, word_table

PAD, UNK, CLS, SEP, MASK = range(5)
_WORD_START = np.uint16(1 << 15)


@dataclass(frozen=True, slots=True)
class Preset:
    """Shape and optimisation; lengths in tokens, rates per step. `family` is `bert` or `modernbert`."""

    family: str
    layers: int
    hidden: int
    heads: int
    intermediate: int
    batch: int
    length: int
    rate: float
    muon_rate: float = 0.0


# Rotary positions and norms before the sublayers leave the unigram plateau many times sooner than BERT's absolute
# positions, which is what counts when the budget is minutes.
PRESETS = {
    "cpu": Preset("modernbert", 3, 256, 4, 704, 32, 128, 2e-3, 4e-3),
    "cpu-4": Preset("modernbert", 4, 256, 4, 704, 32, 128, 2e-3, 4e-3),
    "cpu-bert": Preset("bert", 4, 256, 4, 1024, 32, 256, 1e-3),
    "cpu-wide": Preset("modernbert", 6, 384, 6, 1024, 32, 256, 1.5e-3),
    "gpu": Preset("modernbert", 6, 384, 6, 1024, 256, 256, 2e-3, 3e-3),
    "gpu-large": Preset("modernbert", 12, 512, 8, 1408, 256, 256, 1.5e-3, 2e-3),
}


def read_texts(path: Path) -> Iterator[str]:
    """The documents of one file. Raises ValueError for an extension that is not known."""
    suffixes = [s for s in path.suffixes if s != ".xz"]
    if not suffixes or suffixes[-1] not in (".txt", ".jsonl"):
        raise ValueError(f"{path}: no reader for this extension; allowed: .txt, .jsonl, each also with .xz")
    for line in read_lines(path):
        yield json.loads(line)["text"] if suffixes[-1] == ".jsonl" else line.rstrip("\n")


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, decompressed where its name ends in `.xz`."""
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as stream:
        yield from stream


def parse_source(spec: str) -> tuple[Path, float]:
    """`FILE` or `FILE:SHARE`; a share above 1 repeats the file, below 1 samples its documents."""
    path, _, share = spec.rpartition(":")
    if path and share.replace(".", "", 1).isdigit():
        return Path(path), float(share)
    return Path(spec), 1.0


def sampled_texts(sources: list[tuple[Path, float]], seed: int) -> Iterator[str]:
    """Documents of all sources, each as often as its share says."""
    rng = random.Random(seed)
    for path, share in sources:
        for text in read_texts(path):
            for _ in range(int(share) + (rng.random() < share % 1)):
                yield text


def encode_text(text: str, ids: dict[str, int], segmenter: jieba.Tokenizer) -> np.ndarray:
    """Token ids of one document as uint16, the top bit set on the first character of every jieba word."""
    folded = text.lower().translate(str.maketrans(PUNCTUATION_FOLD))
    out = np.fromiter((ids.get(c, UNK) for c in folded), dtype=np.uint16, count=len(folded))
    position = 0
    for word in segmenter.cut(folded, HMM=False):
        out[position] |= _WORD_START
        position += len(word)
    return out


def make_cache(args: argparse.Namespace, folder: Path) -> None:
    """Build vocabulary and token cache once; later runs with the same folder reuse them."""
    if (folder / "tokens.npy").exists():
        return
    sources = [parse_source(s) for s in args.text]
    texts = list(sampled_texts(sources, args.seed))
    random.Random(args.seed).shuffle(texts)
    vocabulary = choose_vocabulary(count_characters(texts), size=args.vocabulary, minimum=args.min_count)
    tokenizer = build_tokenizer(vocabulary)
    save_tokenizer(tokenizer, folder)
    ids = tokenizer.get_vocab()
    segmenter = jieba.Tokenizer()
    separator = np.array([SEP | _WORD_START], dtype=np.uint16)
    parts = []
    for text in texts:
        if text.strip():
            parts += [encode_text(text, ids, segmenter), separator]
    np.save(folder / "tokens.npy", np.concatenate(parts))
    print(f"cache: {sum(len(p) for p in parts):,} tokens, {len(ids)} entries", flush=True)


def mask_words(block: torch.Tensor, share: float, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mask whole words of a block of shape (batch, length) of flagged ids.

    Returns input ids and labels (-100 where not asked), both int64 of the same shape, on the block's device. Of the
    chosen words 80% become `[MASK]`, 10% random characters, 10% stay (Devlin et al. 2019; whole words: Cui et al. 2021).
    """
    starts = (block & int(_WORD_START)) != 0
    starts[:, 0] = True
    ids = block & ~int(_WORD_START)
    words = starts.reshape(-1).cumsum(0) - 1
    # One roll of the dice for every word; there are at most as many words as characters.
    chosen_word, fate_word = torch.rand(2, block.numel(), device=block.device)
    fate = fate_word[words].view_as(ids)
    chosen = (chosen_word[words].view_as(ids) < share) & (ids > MASK)
    labels = ids.where(chosen, -100)
    inputs = ids.masked_fill(chosen & (fate < 0.8), MASK)
    random_characters = torch.randint(MASK + 1, vocabulary, ids.shape, device=block.device)
    return random_characters.where(chosen & (fate >= 0.9), inputs), labels


def batches(tokens: np.ndarray, preset: Preset, seed: int, first: int) -> Iterator[torch.Tensor]:
    """Endless blocks of flagged ids, int64 of shape (batch, length - 2); `first` skips what a resumed run has seen."""
    body = preset.length - 2
    rows = tokens[: len(tokens) // body * body].reshape(-1, body)
    step = 0
    epoch = 0
    while True:
        order = np.random.default_rng((seed, epoch)).permutation(len(rows))
        for i in range(0, len(rows) - preset.batch + 1, preset.batch):
            if step >= first:
                yield torch.from_numpy(rows[order[i : i + preset.batch]].astype(np.int64))
            step += 1
        epoch += 1


def framed(inputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Put `[CLS]` before and `[SEP]` after every row."""
    inputs = nn.functional.pad(inputs, (1, 1))
    inputs[:, 0], inputs[:, -1] = CLS, SEP
    return inputs, nn.functional.pad(labels, (1, 1), value=-100)


def masked_loss(
    model: PreTrainedModel, words: WordTable | None, inputs: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Cross entropy over the masked positions only: the output layer is the dearest part, and 80% of it is not needed.

    The positions are padded or cut to one count for all batches of a shape, because a new shape in every step makes
    the CPU allocator grow by gigabytes an hour.
    """
    embedded = model.get_input_embeddings()(inputs)
    if words is not None:
        embedded = embedded + words(inputs)
    hidden = model.base_model(inputs_embeds=embedded).last_hidden_state
    flat = labels.reshape(-1)
    wanted = torch.argsort((flat == -100).to(torch.int8), stable=True)[: flat.numel() // 4]
    chosen = hidden.reshape(-1, hidden.shape[-1])[wanted]
    logits = model.cls(chosen) if isinstance(model, BertForMaskedLM) else model.decoder(model.head(chosen))
    return nn.functional.cross_entropy(logits.float(), flat[wanted], ignore_index=-100)


def make_model(preset: Preset, vocabulary: int) -> PreTrainedModel:
    """A random encoder; dropout is off because one pass over much text does not overfit and it costs a fifth of the speed."""
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": preset.hidden,
        "num_hidden_layers": preset.layers,
        "num_attention_heads": preset.heads,
        "intermediate_size": preset.intermediate,
        "max_position_embeddings": 512,
        "pad_token_id": PAD,
    }
    if preset.family == "bert":
        return BertForMaskedLM(
            BertConfig(**shape, type_vocab_size=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        )
    ends = {"cls_token_id": CLS, "sep_token_id": SEP, "bos_token_id": CLS, "eos_token_id": SEP}
    return ModernBertForMaskedLM(ModernBertConfig(**shape, **ends, global_attn_every_n_layers=1))


def make_optimisers(model: nn.Module, preset: Preset) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers where the preset gives it a rate, AdamW for everything else.

    Muon (Jordan et al. 2024) makes each update of a matrix orthogonal; it needs fewer steps for the same loss, which
    is what counts when the budget is minutes. Every group carries its own `peak` rate.
    """
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and ".layers." in n and preset.muon_rate]
    inside = {id(p) for p in matrices}
    others = [{"params": [p for p in model.parameters() if id(p) not in inside], "peak": preset.rate}]
    adam = torch.optim.AdamW(others, lr=preset.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    if not matrices:
        return [adam]
    muon = [{"params": matrices, "peak": preset.muon_rate}]
    return [adam, Muon(muon, lr=preset.muon_rate)]


def rate_share(progress: float) -> float:
    """Share of the peak rate: linear warm-up over the first 4% of the budget, then a cosine down to 2%."""
    if progress < 0.04:
        return max(progress, 1e-3) / 0.04
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - 0.04) / 0.96)))


@dataclass(slots=True)
class State:
    """What a resumed run needs besides weights and optimiser. `elapsed_s` counts training time only."""

    step: int = 0
    elapsed_s: float = 0.0


def _vocabulary(folder: Path) -> dict[str, int]:
    return dict(json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"])


class Run:
    """One pretraining run in a folder that it can be resumed from."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder: Path = args.out
        self.folder.mkdir(parents=True, exist_ok=True)
        make_cache(args, self.folder)
        self.preset = PRESETS[args.preset]
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        tokens = np.load(self.folder / "tokens.npy", mmap_mode="r")
        self.vocabulary = len(_vocabulary(self.folder))
        held_size = min(len(tokens) // 20, 8 * self.preset.batch * self.preset.length)
        self.tokens, held = tokens[held_size:], tokens[:held_size]
        torch.manual_seed(7)
        stream = batches(held, self.preset, 7, 0)
        self.held = [framed(*mask_words(next(stream), args.mask, self.vocabulary)) for _ in range(6)]
        torch.manual_seed(args.seed)
        self.model = make_model(self.preset, self.vocabulary)
        self.words = self._word_table()
        if args.init:
            self._start_from(args.init)
        self.trained = nn.ModuleDict({"encoder": self.model, **({"words": self.words} if self.words else {})})
        self.trained.to(self.device)
        self.optimisers = make_optimisers(self.trained, self.preset)
        self.masked_loss = torch.compile(masked_loss) if self.device == "cuda" else masked_loss
        self.state = State()
        self._resume()

    def _start_from(self, folder: Path) -> None:
        """Weights of an encoder of the same shape; embeddings follow the characters, whose ids may differ."""
        earlier = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32)
        weights = earlier.state_dict()
        theirs, ours = (_vocabulary(f) for f in (folder, self.folder))
        shared = [(ours[c], theirs[c]) for c in ours if c in theirs]
        mine, other = (torch.tensor(ids) for ids in zip(*shared, strict=True))
        for name, value in self.model.state_dict().items():
            if value.shape[:1] == (len(ours),):
                weights[name] = value.clone().index_copy_(0, mine, weights[name][other])
        self.model.load_state_dict(weights)

    def _word_table(self) -> WordTable | None:
        """Fresh from `--words`, else the one of `--init` where the vocabulary is the same, since it is keyed by ids."""
        if self.args.words:
            words, vectors = read_vectors(self.args.words)
            return word_table(words, vectors, _vocabulary(self.folder), self.preset.hidden)
        same = self.args.init and _vocabulary(self.args.init) == _vocabulary(self.folder)
        return load_words(self.args.init) if same else None

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if path.exists():
            saved = torch.load(path, map_location=self.device, weights_only=True)
            self.trained.load_state_dict(saved["model"])
            for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
                optimiser.load_state_dict(state)
            self.state = State(**saved["state"])
            print(f"resumed at step {self.state.step}", flush=True)

    def save(self) -> None:
        """Write the Hugging Face folder and the checkpoint, the checkpoint last and by rename."""
        self.model.save_pretrained(self.folder)
        if self.words:
            save_words(self.words, self.folder)
        temporary = self.folder / "checkpoint.tmp"
        torch.save(
            {
                "model": self.trained.state_dict(),
                "optimisers": [o.state_dict() for o in self.optimisers],
                "state": asdict(self.state),
            },
            temporary,
        )
        temporary.replace(self.folder / "checkpoint.pt")

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Mean masked loss in nats over fixed batches. Nothing in the network behaves otherwise in training."""
        return sum(float(self._loss(masked_loss, *batch)) for batch in self.held) / len(self.held)

    def _loss(self, function: Callable[..., torch.Tensor], *batch: torch.Tensor) -> torch.Tensor:
        with mixed_precision(self.device):
            return function(self.model, self.words, *(tensor.to(self.device) for tensor in batch))

    def _training_loss(self, block: torch.Tensor) -> torch.Tensor:
        masked = mask_words(block.to(self.device, non_blocking=True), self.args.mask, self.vocabulary)
        return self._loss(self.masked_loss, *framed(*masked))

    def log(self, loss: float) -> None:
        row = {
            "step": self.state.step,
            "minutes": round(self.state.elapsed_s / 60, 2),
            "tokens": self.state.step * self.preset.batch * self.preset.length,
            "loss": round(loss, 4),
            "held_out": round(self.held_out_loss(), 4),
        }
        print(json.dumps(row), flush=True)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")

    def train(self) -> None:
        budget_s = self.args.minutes * 60
        stream = batches(self.tokens, self.preset, self.args.seed, self.state.step)
        losses: list[torch.Tensor] = []
        if self.device == "cuda":
            # Compiling takes a minute, which would use up the warm-up of the learning rate.
            self._training_loss(next(stream)).backward()
        last_save = time.monotonic()
        while self.state.elapsed_s < budget_s:
            started = time.monotonic()
            share = rate_share(self.state.elapsed_s / budget_s)
            for group in (g for o in self.optimisers for g in o.param_groups):
                group["lr"] = group["peak"] * share
            losses.append(self._step(next(stream)))
            self.state.step += 1
            if self.state.step % self.args.log_every == 0:
                self.log(_mean(losses))
                losses = []
            self.state.elapsed_s += time.monotonic() - started
            if time.monotonic() - last_save > self.args.save_minutes * 60:
                self.save()
                last_save = time.monotonic()
        self.log(_mean(losses))
        self.save()

    def _step(self, block: torch.Tensor) -> torch.Tensor:
        """One update; the loss stays on the device, since to read it would make the processor wait."""
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss = self._training_loss(block)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        return loss.detach()


def _mean(losses: list[torch.Tensor]) -> float:
    return float(torch.stack(losses).mean()) if losses else 0.0


def plot(folder: Path) -> None:
    """Draw held-out loss against tokens seen into `loss.png`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    figure, axes = pyplot.subplots(figsize=(6, 4))
    axes.plot([r["tokens"] / 1e6 for r in rows], [r["loss"] for r in rows], label="training")
    axes.plot([r["tokens"] / 1e6 for r in rows], [r["held_out"] for r in rows], label="held out")
    axes.set(xlabel="million tokens", ylabel="masked loss (nats)")
    axes.legend()
    figure.savefig(folder / "loss.png", dpi=120, bbox_inches="tight")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.pretrain", description=__doc__.split("\n")[0])
    parser.add_argument("--text", nargs="+", required=True, metavar="FILE[:SHARE]", help="text files and their weight")
    parser.add_argument("--out", type=Path, required=True, help="run folder; started again, it resumes")
    parser.add_argument(
        "--init", type=Path, help="encoder folder of the same shape to go on from, e.g. training/encoder"
    )
    parser.add_argument(
        "--words", type=Path, help="folder of training.words, whose vectors stand beside the characters"
    )
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--minutes", type=float, default=150, help="training time budget in minutes")
    parser.add_argument("--mask", type=float, default=0.2, help="share of words that are masked")
    parser.add_argument("--vocabulary", type=int, default=6000, help="largest number of entries")
    parser.add_argument("--min-count", type=int, default=8, help="rarer characters become [UNK]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--log-every", type=int, default=50, help="steps")
    parser.add_argument("--save-minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=13)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    run = Run(args)
    run.train()
    plot(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
