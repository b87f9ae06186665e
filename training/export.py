"""From a fine-tuning run to the bundle that ships: ONNX, int8 where it keeps quality, thresholds, hashes, metrics."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from nlp_compliance.detect.neural import document_logits
from nlp_compliance.inference.bundle import DOCUMENT_LABELS, FORMAT, PROMOTIONAL, file_digest
from nlp_compliance.inference.runtime import DocumentScores
from nlp_compliance.records import SPAN_LABELS, VIOLATION_LABELS
from training.calibrate import Calibration, choose_span_threshold, choose_thresholds, fit_calibration
from training.corpus import CORPUS, ROOT, load_sentences, load_split
from training.dataset import UNKNOWN, bank_split, parsed, token_targets
from training.model import load_run
from training.score import TorchScorer

BUNDLE = ROOT / "nlp_compliance" / "resources" / "model"


def export_onnx(run: Path, target: Path) -> None:
    """Write the float32 graph with free batch and length. Eager attention runs faster in ONNX Runtime than sdpa."""
    model = load_run(run, attention="eager")
    example = (torch.randint(5, 100, (2, 32)), torch.ones(2, 32, dtype=torch.int64))
    axes = {0: "windows", 1: "tokens"}
    with warnings.catch_warnings():
        # The TorchScript exporter is deprecated but takes a second where its successor takes ten.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            example,
            str(target),
            input_names=["input_ids", "attention_mask"],
            output_names=["tokens", "document"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "tokens": axes, "document": {0: "windows"}},
            opset_version=18,
            dynamo=False,
        )


def validation_set() -> list[tuple[str, Sequence, float]]:
    """(text, spans, promotional or UNKNOWN) of validation documents and held-out bank sentences."""
    documents = [(e.text, e.spans, float(e.promotional)) for e in load_split("validation")]
    bank = [(s.text, s.spans, UNKNOWN) for s in load_sentences() if bank_split(s) == "validation"]
    return documents + bank


def calibrate(scorer: TorchScorer) -> dict[str, dict[str, float]]:
    """Slopes, offsets, thresholds and span thresholds from the validation set."""
    rows = validation_set()
    documents = [parsed(text) for text, _, _ in rows]
    scores = scorer.score(documents)
    logits = np.stack([document_logits(s) for s in scores])
    targets = [token_targets(d, spans) for d, (_, spans, _) in zip(documents, rows, strict=True)]
    truth = np.stack([np.concatenate([[p], t.max(axis=0)]) for t, (_, _, p) in zip(targets, rows, strict=True)])
    out: dict[str, dict[str, float]] = {"slopes": {}, "offsets": {}}
    probabilities, truths = {}, {}
    for i, label in enumerate(DOCUMENT_LABELS):
        known = truth[:, i] != UNKNOWN
        fitted: Calibration = fit_calibration(logits[known, i], truth[known, i])
        out["slopes"][label], out["offsets"][label] = fitted.slope, fitted.offset
        probabilities[label], truths[label] = fitted.apply(logits[known, i]), truth[known, i]
    out["thresholds"] = {
        **choose_thresholds(_of(probabilities, VIOLATION_LABELS), _of(truths, VIOLATION_LABELS)),
        **choose_thresholds(_of(probabilities, SPAN_LABELS[len(VIOLATION_LABELS) :]), truths),
        **choose_thresholds(_of(probabilities, (PROMOTIONAL,)), truths),
    }
    out["span_thresholds"] = span_thresholds(scores, targets)
    return out


def _of(table: dict, labels: Sequence[str]) -> dict:
    return {label: table[label] for label in labels}


def span_thresholds(scores: Sequence[DocumentScores], targets: Sequence[np.ndarray]) -> dict[str, float]:
    """One token threshold for violations and one for the other spans."""
    tokens = [1.0 / (1.0 + np.exp(-np.clip(s.tokens, -30, 30))) for s in scores]
    cut = len(VIOLATION_LABELS)
    violations = choose_span_threshold([t[:, :cut] for t in tokens], [t[:, :cut] for t in targets])
    others = choose_span_threshold([t[:, cut:] for t in tokens], [t[:, cut:] for t in targets])
    return {label: violations if i < cut else others for i, label in enumerate(SPAN_LABELS)}


def corpus_version() -> str:
    """A content hash of the corpus source, so that a bundle says what it learned from."""
    digest = hashlib.sha256()
    for path in sorted([*(CORPUS / "src").rglob("*.txt"), *(CORPUS / "sentences").glob("*.txt")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def write_bundle(run: Path, target: Path, *, quantise: bool) -> None:
    """Make the bundle folder in place of the old one, the manifest last."""
    target.mkdir(parents=True, exist_ok=True)
    full = run / "model.onnx"
    export_onnx(run, full)
    if quantise:
        quantize_dynamic(
            full,
            target / "model.onnx",
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
        )
    else:
        shutil.copyfile(full, target / "model.onnx")
    shutil.copyfile(run / "tokenizer.json", target / "tokenizer.json")
    settings = json.loads((run / "finetune.json").read_text(encoding="utf-8"))
    scorer = TorchScorer(run, max_tokens=settings["max_tokens"], overlap=settings["overlap"])
    files = {name: file_digest(target / name) for name in ("model.onnx", "tokenizer.json")}
    manifest = {
        "format": FORMAT,
        "name": "nlp-compliance-encoder",
        "version": files["model.onnx"][:12],
        "token_labels": SPAN_LABELS,
        "document_labels": DOCUMENT_LABELS,
        "max_tokens": settings["max_tokens"],
        "overlap": settings["overlap"],
        "corpus_version": corpus_version(),
        "files": files,
        "metrics": {},
        **calibrate(scorer),
    }
    (target / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="fine-tuning run folder")
    parser.add_argument("--out", type=Path, default=BUNDLE, help="bundle folder")
    parser.add_argument("--float32", action="store_true", help="do not quantise to int8")
    args = parser.parse_args(argv)
    write_bundle(args.run, args.out, quantise=not args.float32)
    print(f"{args.out}: {sum(p.stat().st_size for p in args.out.iterdir()) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
