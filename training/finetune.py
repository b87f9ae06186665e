"""Fine-tune an encoder to label documents and to mark spans; starts from ours or from any Chinese encoder.

Every epoch sees all training documents (plain and, with `--augment`, changed), the sentence bank freshly packed, and a
fresh share of label-free negatives. The learning rate follows the share of the time or epoch budget used up; the
weights that are kept are an exponential moving average, which on a few thousand documents is steadier than the last.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from nlp_compliance.inference.bundle import DOCUMENT_LABELS
from nlp_compliance.inference.encode import CharacterTable, load_characters
from nlp_compliance.records import SPAN_LABELS, VIOLATION_LABELS
from training.augment import augment_example, clauses, crowd, donors
from training.corpus import ROOT, BankSentence, Example, load_sentences, load_split, share_of
from training.dataset import (
    UNKNOWN,
    Window,
    bank_split,
    collate,
    document_windows,
    empty_document_targets,
    label_balanced,
    pack_sentences,
    padded_length,
    parsed,
    read_negatives,
)
from training.feedback import read_extra
from training.model import SETTINGS, WEIGHTS, SpanDocumentModel, fuse, load_run, start_model
from training.muon import Muon
from training.names import invented_names, with_invented_names, with_real_names
from training.precision import mixed_precision
from training.tokenizer import save_characters

ENCODER = ROOT / "training" / "encoder"


class Data(Dataset[list[list[Window]]]):
    """Everything an epoch is drawn from; `self[n]`, the batches of epoch n, is deterministic in seed and n."""

    def __init__(self, args: argparse.Namespace, table: CharacterTable) -> None:
        self.args, self.table = args, table
        examples = share_of(load_split("train"), args.fraction, args.seed)
        self.extra = read_extra(args.extra)
        self.corpus = examples
        self.examples = self.corpus + self.extra
        sentences = [s for s in load_sentences() if bank_split(s) == "train"]
        sentences = sentences[:: max(1, round(1 / args.fraction))]
        self.donors = donors(self.examples, sentences)
        self.clauses = clauses(self.examples, sentences)
        self.bank: list[BankSentence] = []
        self.new_bank: list[BankSentence] = []
        for sentence in sentences:
            file = sentence.id.partition(":")[0]
            (self.new_bank if fnmatch(file, args.new_bank) else self.bank).append(sentence)
        self.names = invented_names(self.examples)
        self.plain = {e.id: self._windows(e) for e in self.examples}
        rng = random.Random(args.seed)
        self.negatives = [
            self._negative(with_invented_names(text, self.names, rng) if rng.random() < args.names else text)
            for text in read_negatives(args.negatives)
        ]

    def _windows(self, example: Example) -> list[Window]:
        return document_windows(
            example.text,
            example.spans,
            float(example.promotional),
            self.table,
            owner=0,
            max_tokens=self.args.max_tokens,
            overlap=self.args.overlap,
        )

    def _negative(self, text: str) -> Window:
        ids = self.table.encode(parsed(text).normal[: self.args.max_tokens - 2])
        return Window(ids, np.zeros((len(ids), len(SPAN_LABELS)), dtype=np.int8), empty_document_targets(0.0), 0, 0.5)

    def __getitem__(self, number: int) -> list[list[Window]]:
        rng = random.Random(self.args.seed + number)
        return list(token_budget_batches(self.epoch(number), self.args.batch_tokens, rng))

    def epoch(self, number: int) -> list[Window]:
        rng = random.Random(self.args.seed * 1000 + number)
        rows: list[Window] = []
        corpus, bank = (self._replayed(part, rng) for part in (self.corpus, self.bank))
        if self.args.balance:
            corpus = label_balanced(corpus, rng)
        for plain in [*corpus, *self.extra]:
            example = with_real_names(plain, self.names, rng) if rng.random() < self.args.names else plain
            if rng.random() < self.args.augment:
                rows += self._windows(augment_example(example, rng, self.donors, moved=self.args.moved))
            else:
                rows += self.plain[plain.id] if example is plain else self._windows(example)
        rows += self._bank_rows([*bank, *self.new_bank], rng)
        crowds = round((len(corpus) + len(self.extra)) * self.args.crowds)
        rows += [self._bank_row(*crowd(self.clauses, rng), UNKNOWN) for _ in range(crowds)]
        count = min(len(self.negatives), int((len(corpus) + len(self.extra)) * self.args.negative_share))
        return rows + rng.sample(self.negatives, count)

    def _replayed(self, part: list[Any], rng: random.Random) -> list[Any]:
        """What an epoch shows of a part of the corpus again; all of it unless `--replay` says less."""
        return part if self.args.replay >= 1.0 else rng.sample(part, round(len(part) * self.args.replay))

    def _bank_rows(self, bank: list[BankSentence], rng: random.Random) -> list[Window]:
        """Most sentences in packs whose stance nobody knows, every fifth alone as the short text it is."""
        alone = [s for s in bank if rng.random() < 0.2]
        chosen = {s.id for s in alone}
        rows = [self._bank_row(s.text, s.spans, 1.0 if s.spans else UNKNOWN) for s in alone]
        rest = [s for s in bank if s.id not in chosen]
        rows += [self._bank_row(t, s, UNKNOWN) for t, s in pack_sentences(rest, rng, max_chars=200)]
        return [r for r in rows if len(r.ids)]

    def _bank_row(self, text: str, spans: Sequence, promotional: float) -> Window:
        windows = document_windows(
            text, spans, promotional, self.table, owner=0, max_tokens=self.args.max_tokens, overlap=self.args.overlap
        )
        return windows[0]


def token_budget_batches(rows: Sequence[Window], budget: int, rng: random.Random) -> Iterator[list[Window]]:
    """Batches of rows of like length whose padded size stays under `budget` tokens, in random order."""
    ordered = sorted(rows, key=lambda r: (padded_length(r), rng.random()))
    batches: list[list[Window]] = []
    for row in ordered:
        if not batches or padded_length(row) * (len(batches[-1]) + 1) > budget:
            batches.append([])
        batches[-1].append(row)
    rng.shuffle(batches)
    yield from batches


class Loss:
    """Binary cross entropy of tokens and documents; rare violation tokens weigh `token_weight` times a plain one."""

    def __init__(self, token_weight: float, document_share: float, device: str) -> None:
        self.device = device
        weight = torch.ones(len(SPAN_LABELS))
        weight[: len(VIOLATION_LABELS)] = token_weight
        self.token = nn.BCEWithLogitsLoss(reduction="none", pos_weight=weight.to(device))
        self.document = nn.BCEWithLogitsLoss(reduction="none")
        self.document_share = document_share

    def __call__(self, model: SpanDocumentModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        with mixed_precision(self.device):
            tokens, document = (logits.float() for logits in model(batch["ids"], batch["mask"]))
        mask = batch["mask"].float() * batch["weight"].unsqueeze(1)
        token = (self.token(tokens, batch["tokens"]).sum(-1) * mask).sum() / mask.sum()
        known = (batch["document"] != UNKNOWN).float() * batch["weight"].unsqueeze(1)
        document = (self.document(document, batch["document"].clamp(min=0.0)) * known).sum() / known.sum()
        return token + self.document_share * len(DOCUMENT_LABELS) * document


class Teachers:
    """Runs whose probabilities stand in for a share of the labels: distillation (Hinton et al. 2015), from one or several.

    They read every batch as it is before characters are masked. Raises ValueError where a run has another tokenizer.
    """

    def __init__(self, runs: Sequence[Path], share: float, tokenizer: Path, device: str) -> None:
        self.share, self.device = share, device
        for run in runs:
            if (run / "tokenizer.json").read_bytes() != tokenizer.read_bytes():
                raise ValueError(
                    f"teacher {run} reads other characters than {tokenizer}; it must come from one encoder"
                )
        self.models = [load_run(run).to(device) for run in runs]

    @torch.no_grad()
    def teach(self, batch: dict[str, torch.Tensor]) -> None:
        """Change the targets of `batch` in place; where nobody knows the stance, the teachers' counts whole."""
        with mixed_precision(self.device):
            logits = [model(batch["ids"], batch["mask"]) for model in self.models]
        tokens, document = (torch.stack([pair[k].float().sigmoid() for pair in logits]).mean(0) for k in (0, 1))
        batch["tokens"].lerp_(tokens, self.share)
        known = batch["document"] != UNKNOWN
        batch["document"] = torch.where(known, batch["document"].lerp(document, self.share), document)


def _as_it_is(batches: list[list[Window]]) -> list[list[Window]]:
    return batches


def to_tensors(arrays: dict[str, np.ndarray], device: str) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def blanks(mask: npt.NDArray[np.int64], share: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Where about `share` of the characters are to give way to `[MASK]`, in runs of two; shape of `mask` (rows, tokens).

    With a word or two gone the rest of the sentence must carry the label, so no single word is learned by heart.
    """
    start = rng.random(mask.shape) < share / 2
    run = start | np.pad(start[:, :-1], ((0, 0), (1, 0)))
    inside = mask.astype(bool)
    inside[:, 0] = False
    inside[np.arange(len(mask)), mask.sum(axis=1) - 1] = False
    return run & inside


class Average:
    """Exponential moving average of the weights, with a warm-up so that the random start is soon forgotten."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        parameters = dict(model.named_parameters())
        torch._foreach_lerp_([self.weights[name] for name in parameters], list(parameters.values()), 1 - decay)


def adversarial_step(model: SpanDocumentModel, loss: Loss, batch: dict[str, torch.Tensor], epsilon: float) -> None:
    """FGM (Miyato et al. 2017): add the gradient of a loss on embeddings moved along their gradient by `epsilon`."""
    embedding = model.encoder.get_input_embeddings().weight
    if embedding.grad is None or not (norm := embedding.grad.norm()):
        return
    shift = epsilon * embedding.grad / norm
    embedding.data.add_(shift)
    loss(model, batch).backward()
    embedding.data.sub_(shift)


def make_optimisers(model: SpanDocumentModel, args: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """AdamW, the fresh heads at three times the rate; with `--muon` the matrices inside the layers go to Muon."""
    matrices, encoder, heads = [], [], []
    for name, parameter in model.named_parameters():
        if name.startswith(("encoder.", "words.")):
            inside = args.muon and parameter.ndim == 2 and "embeddings" not in name and name.startswith("encoder.")
            (matrices if inside else encoder).append(parameter)
        else:
            heads.append(parameter)
    groups = [{"params": encoder, "peak": args.rate}, {"params": heads, "peak": args.rate * 3}]
    optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=args.rate, weight_decay=0.01, fused=True)]
    if matrices:
        optimisers.append(Muon([{"params": matrices, "peak": args.muon}], lr=args.muon))
    return optimisers


def mask_token(tokenizer: Path) -> int:
    """Id of `[MASK]` in a tokenizer of one entry per character."""
    return int(json.loads(tokenizer.read_text(encoding="utf-8"))["model"]["vocab"]["[MASK]"])


def rate_share(progress: float) -> float:
    if progress < 0.06:
        return max(progress, 1e-3) / 0.06
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - 0.06) / 0.94)))


class Training:
    """One run in a folder from which it can be gone on with: a run that was stopped begins again at its last whole epoch."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.folder = args, Path(args.out)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.manual_seed(args.seed)
        tokenizer = self.folder / "tokenizer.json"
        self.table = load_characters(tokenizer)
        self.mask_id = mask_token(tokenizer)
        model = start_model(args.base, dropout=args.dropout, without_pretraining=args.without_pretraining)
        self.model = model.to(self.device)
        if self.model.words is not None:
            self.model.words.dropout = args.word_dropout
        if args.compile:
            fuse(self.model)
        self.teachers = Teachers(args.teacher, args.teacher_share, tokenizer, self.device) if args.teacher else None
        self.optimisers = make_optimisers(self.model, args)
        self.loss = Loss(args.token_weight, args.document_share, self.device)
        self.average = Average(self.model, args.average)
        self.epoch, self.seconds = 0, 0.0
        self._resume()

    def train(self) -> None:
        """Train to the end and leave the averaged weights in the folder."""
        data = Data(self.args, self.table)
        before, started = self.seconds, time.monotonic()
        for batches in self._epochs(data):
            if self._progress(0.0) >= 1.0:
                break
            # Anew for every epoch, so that one that is begun again is the same.
            torch.manual_seed(self.args.seed * 1000 + self.epoch)
            noise = np.random.default_rng((self.args.seed, self.epoch))
            self.model.train()
            losses: list[torch.Tensor] = []
            for index, chosen in enumerate(
                tqdm(batches, desc=f"epoch {self.epoch + 1} of {self.args.epochs}", disable=self.args.quiet)
            ):
                self.seconds = before + time.monotonic() - started
                if (progress := self._progress(index / len(batches))) >= 1.0:
                    break
                losses.append(self._step(chosen, progress, noise))
            self.epoch += 1
            loss = float(torch.stack(losses).mean()) if losses else 0.0
            said = {"epoch": self.epoch, "loss": loss, "minutes": self.seconds / 60}
            print(json.dumps({k: round(v, 4) for k, v in said.items()}), flush=True)
            self._save()
        self._checkpoint.unlink(missing_ok=True)

    def _epochs(self, data: Data) -> Iterable[list[list[Window]]]:
        """The batches of what is left of the run, made ahead by other processes where a GPU would wait for them."""
        workers = (2 if self.device == "cuda" else 0) if self.args.workers is None else self.args.workers
        return DataLoader(
            data,
            batch_size=None,
            sampler=range(self.epoch, self.args.epochs),
            collate_fn=_as_it_is,
            num_workers=workers,
            prefetch_factor=1 if workers else None,
        )

    def _progress(self, share: float) -> float:
        """How much of the run is behind, by epochs or by time, whichever is further; from 0 to 1."""
        progress = (self.epoch + share) / self.args.epochs
        return max(progress, self.seconds / (self.args.minutes * 60)) if self.args.minutes else progress

    def _step(self, rows: Sequence[Window], progress: float, noise: np.random.Generator) -> torch.Tensor:
        """One update of the weights; the loss before it, left on the device, so that a GPU is not waited for."""
        for group in (g for o in self.optimisers for g in o.param_groups):
            group["lr"] = group["peak"] * rate_share(progress)
        arrays = collate(rows, self.table)
        batch = to_tensors(arrays, self.device)
        if self.teachers:
            self.teachers.teach(batch)
        blank = torch.from_numpy(blanks(arrays["mask"], self.args.blank, noise)).to(self.device)
        batch["ids"].masked_fill_(blank, self.mask_id)
        self.model.zero_grad(set_to_none=True)
        value = self.loss(self.model, batch)
        value.backward()
        if self.args.fgm:
            adversarial_step(self.model, self.loss, batch, self.args.fgm)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.average.update(self.model)
        return value.detach()

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def _settings(self) -> str:
        return json.dumps(vars(self.args), ensure_ascii=False, indent=1, default=str)

    def _save(self) -> None:
        """Weights as safetensors, the encoder's config and how the run was called; the checkpoint last and by rename."""
        save_file({k: v.contiguous().cpu() for k, v in self.average.weights.items()}, self.folder / WEIGHTS)
        self.model.encoder.config.save_pretrained(self.folder)
        (self.folder / SETTINGS).write_text(self._settings(), encoding="utf-8")
        temporary = self._checkpoint.with_suffix(".tmp")
        state = {
            "settings": self._settings(),
            "model": self.model.state_dict(),
            "average": self.average.weights,
            "steps": self.average.steps,
            "optimisers": [o.state_dict() for o in self.optimisers],
            "epoch": self.epoch,
            "seconds": self.seconds,
        }
        torch.save(state, temporary)
        temporary.replace(self._checkpoint)

    def _resume(self) -> None:
        if not self._checkpoint.exists():
            return
        saved = torch.load(self._checkpoint, map_location=self.device, weights_only=True)
        if _same_run(saved["settings"]) != _same_run(self._settings()):
            raise ValueError(
                f"{self.folder} holds a stopped run with other options ({self.folder / SETTINGS}); "
                f"call it with the same ones to go on, or remove {self._checkpoint} to begin anew"
            )
        self.model.load_state_dict(saved["model"])
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.average.weights, self.average.steps = saved["average"], saved["steps"]
        self.epoch, self.seconds = saved["epoch"], saved["seconds"]
        print(f"resumed after epoch {self.epoch}", flush=True)


def _same_run(settings: str) -> dict[str, Any]:
    """What decides how a run ends; the rest may change where it goes on, on a machine with more cores, say."""
    return {k: v for k, v in json.loads(settings).items() if k not in ("threads", "workers", "compile", "quiet")}


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.finetune", description=__doc__.split("\n")[0])
    parser.add_argument("--base", default=str(ENCODER), help="encoder by folder or hub name, or an earlier run")
    parser.add_argument(
        "--without-pretraining", action="store_true", help="random weights in the shape of --base, for comparison"
    )
    parser.add_argument("--out", required=True, help="run folder; a stopped run goes on when called again")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--minutes", type=float, default=0, help="stop, cooled down, after this long; 0: no limit")
    parser.add_argument("--rate", type=float, default=3e-4, help="peak learning rate of the encoder")
    parser.add_argument("--muon", type=float, default=0.0, help="peak rate of Muon inside the layers; 0: AdamW alone")
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--overlap", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--token-weight", type=float, default=2.0)
    parser.add_argument("--document-share", type=float, default=1.0)
    parser.add_argument("--augment", type=float, default=0.4, help="share of documents changed in an epoch")
    parser.add_argument("--moved", type=float, default=0.4, help="share of the changes that move a sentence in")
    parser.add_argument("--crowds", type=float, default=0.1, help="texts made of short clauses, per training document")
    parser.add_argument("--names", type=float, default=0.4, help="share of texts shown with names of the other kind")
    parser.add_argument("--blank", type=float, default=0.1, help="share of characters masked in a training window")
    parser.add_argument("--word-dropout", type=float, default=0.1, help="share of windows read without the word table")
    parser.add_argument("--fgm", type=float, default=0.0, help="adversarial step on embeddings; 0: off")
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--negatives", type=Path, help="JSONL of label-free passages")
    parser.add_argument("--negative-share", type=float, default=0.5, help="negatives an epoch, per training document")
    parser.add_argument("--extra", type=Path, help="JSONL of training.feedback, learned beside the corpus")
    parser.add_argument(
        "--replay", type=float, default=1.0, help="share of the corpus shown in an epoch beside all of --extra"
    )
    parser.add_argument(
        "--new-bank", default="", metavar="PATTERN", help="bank files (*-7?) that every epoch shows whole with --replay"
    )
    parser.add_argument("--balance", action="store_true", help="show documents of rare violation labels more often")
    parser.add_argument("--teacher", type=Path, nargs="+", metavar="RUN", help="runs to distil, the mean of several")
    parser.add_argument(
        "--teacher-share", type=float, default=0.5, help="how much the teachers' probabilities count beside the labels"
    )
    parser.add_argument("--fraction", type=float, default=1.0, help="share of training groups, for learning curves")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--workers", type=int, help="processes that make epochs ahead; default: 2 with a GPU, otherwise none"
    )
    parser.add_argument(
        "--compile", action="store_true", help="fuse what lies between the matrix products, with a C++ compiler"
    )
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--quiet", action="store_true")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    save_characters(args.base, out)
    Training(args).train()
    return 0


if __name__ == "__main__":
    sys.exit(main())
