"""Shows that a scan runs in bounded memory: streams synthetic rows through `scan` and draws the curve.

    python -m benchmarks.memory [--rows 1000000] [--distinct 1000] [--detectors lexical] [--dataset] [--out FOLDER]

Writes `memory.csv` (rows done, MB resident of the scanning process and its children) and `memory.svg` into FOLDER.
The rows stand in one JSONL file; `--distinct` texts go round, so that the engine is measured and not the model.
`--dataset` writes a folder of Parquet files instead of one JSONL file.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_EVERY_SECONDS = 0.5
# A mark follows the rows of every task: 64 of them.
_MARK = re.compile(rb'\nm\[".*",(\d+)\]\n')
_TAIL_BYTES = 1 << 20
_WIDTH, _HEIGHT, _MARGIN = 720, 320, 48
Point = tuple[int, float]


def write_rows(target: Path, rows: int, distinct: int) -> None:
    with target.open("w", encoding="utf-8") as stream:
        for number in range(rows):
            text = f"溪山保今日开放参保，{number % distinct}号服务点可以咨询，最高保障200万元，保险期间一年。"
            stream.write(json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n")


def resident_mb(pid: int) -> float:
    """MB of a process and its children; 0 when it has gone."""
    total = 0.0
    for process in (pid, *_children(pid)):
        try:
            pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
        total += pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return total


def _children(pid: int) -> Iterator[int]:
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, found):
        yield child
        yield from _children(child)


def curve(source: Path, out: str, part: Path, detectors: str) -> Iterator[Point]:
    """(rows done, MB) while the scan runs; the last mark in its work file `part` counts the rows."""
    command = [sys.executable, "-m", "nlp_compliance", "scan", str(source), "-o", out, "--no-progress"]
    environment = {**os.environ, "NLP_COMPLIANCE_DETECTORS": detectors}
    done = 0
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as running:
        while running.poll() is None:
            done = max(done, rows_done(part))
            yield done, resident_mb(running.pid)
            time.sleep(_EVERY_SECONDS)
        if running.returncode:
            raise SystemExit(f"the scan ended with {running.returncode}")


def rows_done(part: Path) -> int:
    """Rows up to the last mark in the end of a work file; 0 where there is none."""
    try:
        with part.open("rb") as stream:
            stream.seek(max(0, part.stat().st_size - _TAIL_BYTES))
            marks = _MARK.findall(stream.read())
    except FileNotFoundError:
        return 0
    return int(marks[-1]) if marks else 0


def drawing(points: Sequence[Point]) -> str:
    """An SVG line of MB over rows."""
    most_rows, most_mb = max(p[0] for p in points) or 1, max(p[1] for p in points) * 1.2 or 1
    inner_width, inner_height = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN
    line = " ".join(
        f"{_MARGIN + inner_width * rows / most_rows:.1f},{_HEIGHT - _MARGIN - inner_height * mb / most_mb:.1f}"
        for rows, mb in points
    )
    base = _HEIGHT - _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>'
        f'<path d="M{_MARGIN} {_MARGIN}V{base}H{_WIDTH - _MARGIN}" fill="none" stroke="#889"/>'
        f'<polyline points="{line}" fill="none" stroke="#1565c0" stroke-width="2"/>'
        f'<text x="{_MARGIN}" y="{_MARGIN - 12}">MB resident, up to {most_mb:.0f}</text>'
        f'<text x="{_WIDTH - _MARGIN}" y="{base + 20}" text-anchor="end">{most_rows:,} rows</text></svg>\n'
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--distinct", type=int, default=1_000)
    parser.add_argument("--detectors", default="lexical")
    parser.add_argument("--dataset", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/memory"))
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "rows.jsonl"
        write_rows(source, options.rows, options.distinct)
        started = time.perf_counter()
        out = Path(folder) / ("out.parquet" if options.dataset else "out.jsonl")
        part = out.with_name(out.name + ".part")
        points = list(curve(source, f"{out}/" if options.dataset else str(out), part, options.detectors))
        took = time.perf_counter() - started
    with (options.out / "memory.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("rows", "mb"), *((rows, f"{mb:.1f}") for rows, mb in points)])
    (options.out / "memory.svg").write_text(drawing(points), encoding="utf-8")
    peak = max(mb for _, mb in points)
    sys.stdout.write(f"{options.rows} rows in {took:.0f} s, {options.rows / took:.0f} a second, peak {peak:.0f} MB\n")


if __name__ == "__main__":
    main()
