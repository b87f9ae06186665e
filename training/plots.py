"""The pictures of the documentation, each made by the command whose page it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt

from training.metrics import Counts

matplotlib.use("Agg")
from matplotlib import pyplot

Floats = npt.NDArray[np.floating]


def _save(figure: pyplot.Figure, path: Path) -> None:
    # No software version in the file: the same figures give the same bytes.
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)


def reliability_plot(probabilities: Floats, truth: npt.NDArray[np.bool_], path: Path, *, bins: int = 10) -> None:
    """Stated probability against observed share; the size of a point is the number of verdicts behind it."""
    which = np.minimum((probabilities * bins).astype(int), bins - 1)
    points = [
        (probabilities[which == b].mean(), truth[which == b].mean(), int((which == b).sum()))
        for b in range(bins)
        if (which == b).any()
    ]
    figure, axes = pyplot.subplots(figsize=(5, 5))
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.scatter([p[0] for p in points], [p[1] for p in points], s=[8 + 60 * np.log10(p[2]) for p in points])
    for x, y, n in points:
        axes.annotate(str(n), (x, y), textcoords="offset points", xytext=(8, -4), fontsize=8)
    axes.set(xlabel="stated probability", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    _save(figure, path)


def label_plot(rows: Sequence[tuple[str, Counts, tuple[float, float]]], path: Path) -> None:
    """F1 of every label with its 95% interval."""
    figure, axes = pyplot.subplots(figsize=(7, 6))
    places = np.arange(len(rows))[::-1]
    values = np.array([c.f1 for _, c, _ in rows])
    low = np.maximum(values - np.array([i[0] for _, _, i in rows]), 0)
    high = np.maximum(np.array([i[1] for _, _, i in rows]) - values, 0)
    axes.errorbar(values, places, xerr=[low, high], fmt="o", capsize=3)
    axes.set_yticks(places, [label for label, _, _ in rows])
    axes.set(xlabel="F1", xlim=(0, 1))
    axes.grid(axis="x", alpha=0.4)
    _save(figure, path)


def curve_plot(curves: Mapping[str, Sequence[tuple[int, float]]], path: Path, *, x: str, y: str) -> None:
    """Lines of (size, value) points by name."""
    figure, axes = pyplot.subplots(figsize=(6, 4))
    for name, points in curves.items():
        axes.plot([p[0] for p in points], [p[1] for p in points], marker="o", label=name)
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.4)
    axes.legend()
    _save(figure, path)
