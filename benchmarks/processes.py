"""What is measured from outside: scans, cold starts, memory of a process, and what has to be installed."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks.measure import Timing, Way, in_turn
from benchmarks.served import started
from benchmarks.texts import mixed, stock, text_of
from nlp_compliance.records import Document

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "nlp_compliance"]
# The mix is scanned so many times over, so that the start of two processes is a small part of it, as in a real scan.
_SCANNED_TIMES = 4
_SHORT = 64
_SAID = "溪山保由政府兜底，最高保障300万元，扫码投保。"


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from nothing to the first answer, median and half the range, and the most MB resident at the end."""

    name: str
    seconds: float
    spread: float
    peak_mb: float


def scans(share: float, repeat: int) -> list[Timing]:
    """The scan command over the mix as JSONL, with one and two processes, start-up included."""
    ways = {"scan, 1 process": ["--workers", "1"], "scan, 2 processes": ["--workers", "2"]}
    return _scans(mixed(share) * _SCANNED_TIMES, ways, repeat)


def engines(rows: int, repeat: int = 1) -> list[Timing]:
    """The same scan of short texts by two local processes and by two actors of a Ray cluster on this machine.

    Raises SystemExit when the results differ by a byte.
    """
    source = stock()
    documents = [Document(str(i), text_of(_SHORT, source, i * _SHORT)) for i in range(rows)]
    ways = {
        "two local processes": ["--workers", "2"],
        "Ray on this machine, two actors": ["--workers", "2", "--engine", "ray"],
    }
    return _scans(documents, ways, repeat, same=True)


def _scans(
    documents: Sequence[Document], ways: dict[str, list[str]], repeat: int, *, same: bool = False
) -> list[Timing]:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.jsonl"
        # Numbered, so that no text is a repost of another.
        lines = (json.dumps({"id": str(i), "text": f"{i} {d.text}"}) for i, d in enumerate(documents))
        source.write_text("\n".join(lines), "utf-8")
        outs = [Path(folder) / f"out-{number}.jsonl" for number in range(len(ways))]

        def scan(out: Path, options: list[str]) -> Way:
            command = [*COMMAND, "scan", str(source), "-o", str(out), "--no-progress", *options]
            return lambda: _run(command)

        timings = in_turn(
            {name: scan(out, options) for out, (name, options) in zip(outs, ways.items(), strict=True)},
            characters=sum(len(d.text) for d in documents),
            documents=len(documents),
            repeat=repeat,
            warm=False,
        )
        if same and len({out.read_bytes() for out in outs}) != 1:
            raise SystemExit(f"the results of {', '.join(ways)} differ")
        return timings


def cold_starts(repeat: int) -> list[Start]:
    """Commands from nothing to their end, the server to its first answer that it is ready."""
    ways = {
        "`nlp-compliance --help`": [*COMMAND, "--help"],
        "`nlp-compliance check`, one text": [*COMMAND, "check", _SAID, "--format", "json"],
    }
    out = []
    for name, command in ways.items():
        # The first run reads the disk; what follows is what people meet.
        runs = [_run(command) for _ in range(repeat + 1)][1:]
        out.append(_start(name, [s for s, _ in runs], max(mb for _, mb in runs)))
    times, peak = [], 0.0
    for _ in range(repeat):
        began = time.perf_counter()
        with started() as server:
            times.append(time.perf_counter() - began)
            peak = max(peak, server.resident_mb("VmHWM"))
    return [*out, _start("server, until `/readyz` says yes", times, peak)]


def _start(name: str, seconds: list[float], peak_mb: float) -> Start:
    return Start(name, statistics.median(seconds), (max(seconds) - min(seconds)) / 2, peak_mb)


def _run(command: list[str]) -> tuple[float, float]:
    """(seconds, most MB resident) of a command and what it waited for."""
    launch = [sys.executable, str(Path(__file__).with_name("launch.py")), *command]
    row = json.loads(subprocess.run(launch, stdout=subprocess.PIPE, check=True).stdout)
    if row["code"]:
        raise SystemExit(f"{' '.join(command)} ended with {row['code']}:\n{row['said']}")
    return row["seconds"], row["peak_kb"] * 1024 / 1e6


def installed_sizes() -> dict[str, float]:
    """MB on disk of this package and everything that serving needs, the largest first."""
    sizes = {d.metadata["Name"]: _disk_mb(d) for d in _needed("nlp-compliance", set())}
    own = ROOT / "nlp_compliance"
    sizes["nlp-compliance"] = sum(p.stat().st_size for p in own.rglob("*") if p.is_file()) / 1e6
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def _needed(name: str, seen: set[str]) -> Iterator[Distribution]:
    """A distribution and all that it requires without extras."""
    key = name.lower().replace("_", "-")
    if key in seen:
        return
    seen.add(key)
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return
    yield found
    for line in found.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield from _needed(requirement.name, seen)


def _disk_mb(found: Distribution) -> float:
    paths = (Path(str(found.locate_file(f))) for f in found.files or ())
    return sum(p.stat().st_size for p in paths if p.is_file()) / 1e6
