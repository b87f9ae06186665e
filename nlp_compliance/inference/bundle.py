"""A model bundle is a folder: `model.onnx`, `tokenizer.json` and `manifest.json`. No pickle; every file is hashed.

The manifest names the labels in the order of the model's outputs, the probability threshold of each label, the
calibration, the window length, the corpus version and the metrics measured when the bundle was made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_compliance.errors import BundleError
from nlp_compliance.records import PROMOTIONAL, SPAN_LABELS

FORMAT = 2
DOCUMENT_LABELS = (PROMOTIONAL, *SPAN_LABELS)


@dataclass(frozen=True, slots=True)
class Blend:
    """How the encoder is joined with the linear model `linear_version`.

    `weights` per document label are (offset, encoder, linear) on log odds; `thresholds` are for the blended probability.
    A text in no piece of which the linear model sees promotion with the probability `clear` is not read by the encoder;
    0 has every text read.
    """

    linear_version: str
    weights: Mapping[str, tuple[float, float, float]]
    thresholds: Mapping[str, float]
    clear: float = 0.0


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened manifest. `thresholds` and `span_thresholds` are probabilities after calibration.

    `slopes` and `offsets` calibrate: probability = sigmoid(slope * logit + offset), per label.
    `max_tokens` counts `[CLS]` and `[SEP]`; `overlap` is in tokens.
    """

    folder: Path
    name: str
    version: str
    token_labels: tuple[str, ...]
    document_labels: tuple[str, ...]
    thresholds: Mapping[str, float]
    span_thresholds: Mapping[str, float]
    slopes: Mapping[str, float]
    offsets: Mapping[str, float]
    max_tokens: int
    overlap: int
    metrics: Mapping[str, object]
    blend: Blend | None = None

    @property
    def model_path(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def tokenizer_path(self) -> Path:
        return self.folder / "tokenizer.json"


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def open_bundle(folder: Path) -> Bundle:
    """Read and check a bundle folder. Raises BundleError naming the file and the reason."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{folder}: no readable manifest.json ({error}); a bundle is made by training/export.py"
        ) from error
    if manifest.get("format") != FORMAT:
        raise BundleError(f"{folder}: bundle format is {manifest.get('format')!r}; this version reads format {FORMAT}")
    _check_files(folder, manifest["files"])
    bundle = Bundle(
        folder=folder,
        name=manifest["name"],
        version=manifest["version"],
        token_labels=tuple(manifest["token_labels"]),
        document_labels=tuple(manifest["document_labels"]),
        thresholds=manifest["thresholds"],
        span_thresholds=manifest["span_thresholds"],
        slopes=manifest["slopes"],
        offsets=manifest["offsets"],
        max_tokens=manifest["max_tokens"],
        overlap=manifest["overlap"],
        metrics=manifest["metrics"],
        blend=_blend(manifest.get("blend")),
    )
    _check_labels(bundle)
    return bundle


def _blend(entry: Mapping[str, Any] | None) -> Blend | None:
    if entry is None:
        return None
    weights = {label: (float(a), float(b), float(c)) for label, (a, b, c) in entry["weights"].items()}
    return Blend(entry["linear_version"], weights, entry["thresholds"], float(entry.get("clear", 0.0)))


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{folder}: {name} is listed in the manifest and missing; copy the whole folder")
        if (found := file_digest(path)) != expected:
            raise BundleError(
                f"{folder}: {name} has hash {found[:12]}, the manifest says {expected[:12]}; the copy is damaged"
            )


def _check_labels(bundle: Bundle) -> None:
    if bundle.token_labels != SPAN_LABELS or bundle.document_labels != DOCUMENT_LABELS:
        raise BundleError(
            f"{bundle.folder}: the labels are not those of this version; retrain or use a fitting version"
        )
    for label in bundle.document_labels:
        blend = (bundle.blend.weights, bundle.blend.thresholds) if bundle.blend else ()
        for table in (bundle.thresholds, bundle.slopes, bundle.offsets, *blend):
            if label not in table:
                raise BundleError(f"{bundle.folder}: the manifest has no threshold or calibration for {label}")
        if not 0.0 < bundle.thresholds[label] < 1.0:
            raise BundleError(
                f"{bundle.folder}: threshold of {label} is {bundle.thresholds[label]}; allowed: between 0 and 1"
            )
