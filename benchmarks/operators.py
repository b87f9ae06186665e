"""Which operators of the shipped network the time goes to, by ONNX Runtime's own profiler.

    python -m benchmarks.operators [--tokens 256] [--runs 50] [--bundle FOLDER]

One thread, one window of random characters; milliseconds of a window, the longest first.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.measure import table
from nlp_compliance.inference.runtime import open_session
from nlp_compliance.settings import Settings

_PLAIN_IDS = (10, 4_000)


def operators(model: Path, tokens: int, runs: int) -> list[tuple[str, int, float]]:
    """(operator, how often a window has it, milliseconds of a window), the longest first."""
    ids = np.random.default_rng(0).integers(*_PLAIN_IDS, (1, tokens))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = open_session(model, options)
        for _ in range(runs):
            session.run(None, {"input_ids": ids})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    spent: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"]
            seen[event["args"]["op_name"]] += 1
    return [(name, seen[name] // runs, us / runs / 1000) for name, us in spent.most_common()]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operators", description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--bundle", type=Path, default=Settings.from_env().bundle)
    options = parser.parse_args(argv)
    rows = operators(options.bundle / "model.onnx", options.tokens, options.runs)
    whole = sum(ms for _, _, ms in rows)
    cells = [[name, count, f"{ms:.3f}", f"{ms / whole:.1%}"] for name, count, ms in rows]
    sys.stdout.write(table(["operator", "times", "ms", "share"], cells) + f"\n\n{whole:.2f} ms a window\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
