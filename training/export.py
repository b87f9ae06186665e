"""From a fine-tuning run to the bundle that ships: ONNX, int8 where it keeps quality, thresholds, hashes, metrics."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnxruntime.quantization import QuantType, quantize_dynamic

from nlp_compliance.detect.ensemble import document_scores, log_odds
from nlp_compliance.detect.linear import LinearDetector
from nlp_compliance.detect.neural import document_logits
from nlp_compliance.inference.bundle import DOCUMENT_LABELS, FORMAT, Bundle, file_digest
from nlp_compliance.inference.linear import load_linear
from nlp_compliance.inference.runtime import DocumentScores, Encoder
from nlp_compliance.records import ANY_VIOLATION, PROMOTIONAL, SPAN_LABELS, VIOLATION_LABELS, ParsedDocument
from nlp_compliance.text.words import words
from training.baseline import BUNDLE as LINEAR
from training.calibrate import (
    Calibration,
    choose_any_threshold,
    choose_span_threshold,
    choose_thresholds,
    fit_blend,
    fit_calibration,
)
from training.corpus import CORPUS, ROOT, load_sentences, load_split
from training.dataset import UNKNOWN, bank_split, parsed, token_targets
from training.graph import export_onnx
from training.model import SETTINGS, keep_run

BUNDLE = ROOT / "nlp_compliance" / "resources" / "model"


@dataclass(frozen=True, slots=True)
class Held:
    """The validation texts with everything that calibration asks of them.

    `truth` has shape (n_texts, len(DOCUMENT_LABELS)): 0, 1 or UNKNOWN; `targets` one (n_chars, n_span_labels) a text.
    """

    documents: list[ParsedDocument]
    truth: np.ndarray
    targets: list[np.ndarray]


def validation_set() -> Held:
    """Validation documents and held-out bank sentences, of which nobody knows the stance."""
    rows = [(e.text, e.spans, float(e.promotional)) for e in load_split("validation")]
    rows += [(s.text, s.spans, UNKNOWN) for s in load_sentences() if bank_split(s) == "validation"]
    documents = [parsed(text) for text, _, _ in rows]
    targets = [token_targets(d, spans) for d, (_, spans, _) in zip(documents, rows, strict=True)]
    truth = [np.concatenate([[p], t.max(axis=0)]) for t, (_, _, p) in zip(targets, rows, strict=True)]
    return Held(documents, np.stack(truth), targets)


def calibrate(scores: Sequence[DocumentScores], held: Held) -> dict[str, dict[str, float]]:
    """Slopes, offsets, thresholds and span thresholds of the encoder alone."""
    logits = np.stack([document_logits(s) for s in scores])
    out: dict[str, dict[str, float]] = {"slopes": {}, "offsets": {}}
    probabilities, truths = {}, {}
    for i, label in enumerate(DOCUMENT_LABELS):
        known = held.truth[:, i] != UNKNOWN
        fitted: Calibration = fit_calibration(logits[known, i], held.truth[known, i])
        out["slopes"][label], out["offsets"][label] = fitted.slope, fitted.offset
        probabilities[label], truths[label] = fitted.apply(logits[known, i]), held.truth[known, i]
    return {
        **out,
        "thresholds": thresholds_of(probabilities, truths, held),
        "span_thresholds": span_thresholds(scores, held.targets),
    }


def thresholds_of(probabilities: dict[str, np.ndarray], truths: dict[str, np.ndarray], held: Held) -> dict[str, float]:
    """A threshold for every document label; violations, other spans and stance each share their own pool.

    The one for the surest violation is chosen on whole documents; bank sentences are violations too often for that.
    """
    pools = (VIOLATION_LABELS, SPAN_LABELS[len(VIOLATION_LABELS) :], (PROMOTIONAL,))
    out = {k: v for pool in pools for k, v in choose_thresholds(_of(probabilities, pool), _of(truths, pool)).items()}
    whole = held.truth[:, 0] != UNKNOWN
    violations = ({label: table[label][whole] for label in VIOLATION_LABELS} for table in (probabilities, truths))
    out[ANY_VIOLATION] = choose_any_threshold(*violations, _of(out, VIOLATION_LABELS), truths[PROMOTIONAL])
    return out


def blend(calibrated: dict[str, dict[str, float]], scores: Sequence[DocumentScores], held: Held) -> dict[str, object]:
    """The manifest's entry `blend`: how the encoder is joined with the linear model that ships beside it."""
    detector = LinearDetector(load_linear(LINEAR), words)
    linear = [document_scores(hits) for hits in detector.detect(held.documents)]
    logits = np.stack([document_logits(s) for s in scores])
    pairs = {}
    for i, label in enumerate(DOCUMENT_LABELS):
        known = held.truth[:, i] != UNKNOWN
        encoder = calibrated["slopes"][label] * logits[known, i] + calibrated["offsets"][label]
        other = np.array([log_odds(s[label]) for s in linear])[known]
        pairs[label] = (np.clip(encoder, -14, 14), other, held.truth[known, i])
    pooled = [np.concatenate([p[k] for label, p in pairs.items() if label != PROMOTIONAL]) for k in range(3)]
    start = fit_blend(*pooled, start=(0.0, 0.7, 0.3))
    weights = {label: fit_blend(*pair, start=start) for label, pair in pairs.items()}
    probabilities = {
        label: 1 / (1 + np.exp(-(w[0] + w[1] * pairs[label][0] + w[2] * pairs[label][1])))
        for label, w in weights.items()
    }
    truths = {label: pair[2] for label, pair in pairs.items()}
    thresholds = thresholds_of(probabilities, truths, held)
    whole = [d for d, row in zip(held.documents, held.truth, strict=True) if row[0] != UNKNOWN]
    sells = (truths[PROMOTIONAL] > 0.5) | (probabilities[PROMOTIONAL] >= thresholds[PROMOTIONAL])
    return {
        "linear_version": detector.model.version,
        "weights": weights,
        "thresholds": thresholds,
        "clear": clear_stance(detector, [d for d, sold in zip(whole, sells, strict=True) if sold]),
    }


def clear_stance(linear: LinearDetector, selling: Sequence[ParsedDocument]) -> float:
    """The stance in every piece below which a text sells nothing: a tenth of the lowest that any text reaches that does."""
    return min(max(linear.stances(document)) for document in selling) / 10


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


def write_bundle(run: Path, target: Path, *, quantise: bool = True, joined: bool = True, threads: int = 2) -> None:
    """Make the bundle folder in place of the old one, the manifest last; `joined` with the linear model that ships."""
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
    settings = json.loads((run / SETTINGS).read_text(encoding="utf-8"))
    files = {name: file_digest(target / name) for name in ("model.onnx", "tokenizer.json")}
    described = {
        "name": "nlp-compliance-encoder",
        "version": files["model.onnx"][:12],
        "token_labels": SPAN_LABELS,
        "document_labels": DOCUMENT_LABELS,
        "max_tokens": settings["max_tokens"],
        "overlap": settings["overlap"],
        "metrics": {},
    }
    held = validation_set()
    # Calibrated on what the product will compute, rounding to int8 included.
    draft = Bundle(folder=target, thresholds={}, span_thresholds={}, slopes={}, offsets={}, **described)
    scores = Encoder(draft, threads=threads).score(held.documents)
    calibrated = calibrate(scores, held)
    manifest = {
        "format": FORMAT,
        **described,
        "corpus_version": corpus_version(),
        "files": files,
        **({"blend": blend(calibrated, scores, held)} if joined else {}),
        **calibrated,
    }
    (target / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="fine-tuning run folder")
    parser.add_argument("--out", type=Path, default=BUNDLE, help="bundle folder")
    parser.add_argument("--float32", action="store_true", help="do not quantise to int8")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="also copy the run there in half precision")
    args = parser.parse_args(argv)
    if args.keep:
        keep_run(args.run, args.keep)
    write_bundle(args.run, args.out, quantise=not args.float32, threads=args.threads)
    print(f"{args.out}: {sum(p.stat().st_size for p in args.out.iterdir()) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
