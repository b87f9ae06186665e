"""Timings in turn and what is said about them: medians, spread, shares. All ratios are within one run."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

Way = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of each round of one way over the same texts, `documents` of them with `characters` in all."""

    name: str
    seconds: tuple[float, ...]
    characters: int
    documents: int

    @property
    def rate(self) -> float:
        """Characters a second at the median."""
        return self.characters / statistics.median(self.seconds)

    @property
    def documents_rate(self) -> float:
        """Documents a second at the median."""
        return self.documents / statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the range as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / 2 / statistics.median(self.seconds)

    def share_of(self, other: Timing) -> float:
        """This way's throughput as a share of the other's: the median over rounds, each compared within itself."""
        return statistics.median(theirs / own for theirs, own in zip(other.seconds, self.seconds, strict=True))


def in_turn(ways: dict[str, Way], *, characters: int, documents: int, repeat: int, warm: bool = True) -> list[Timing]:
    """All ways measured `repeat` times, one after the other, so that a slow minute hits all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values() if warm else ():
        way()
    for _ in range(repeat):
        for name, way in ways.items():
            seconds[name].append(timed(way))
    return [Timing(name, tuple(times), characters, documents) for name, times in seconds.items()]


def timed(way: Way) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; columns after the first are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, r)) + " |" for r in rows)])


def percentile(values: Sequence[float], share: float) -> float:
    """0 for no values."""
    return float(np.percentile(np.asarray(values), share * 100)) if values else 0.0


def processor() -> str:
    """The processor and how many there are of it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(named, platform.processor())}, {os.cpu_count()} processors"


def machine() -> str:
    """The processor, Python and the libraries that decide about speed."""
    libraries = ("onnxruntime", "numpy", "rjieba", "daachorse", "fastapi", "uvicorn", "torch", "transformers")
    known = ", ".join(f"{name} {_version(name)}" for name in libraries if _version(name))
    return f"{processor()}, Python {platform.python_version()}, {known}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
