"""`make bench`: measures speed end to end and writes docs/benchmarks.md with its figures, in about twenty minutes.

    python -m benchmarks.run [--parts throughput cleared scans engines served growth starts] [--scale 1.0] [--repeat 3] [--out PAGE]

With fewer parts or a smaller scale the page goes to standard output, so that a trial does not overwrite a real run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import growth, page, processes, readers, served
from benchmarks.measure import in_turn
from benchmarks.stages import stages
from benchmarks.texts import mixed
from nlp_compliance.checker import Checker, build_checker
from nlp_compliance.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
# Shares of the mix that make the whole run end in time on two cores.
_THROUGHPUT_SHARE, _SCAN_SHARE, _LOAD_SECONDS = 0.2, 0.4, 6.0
_ENGINE_ROWS = 20_000


class Bench:
    """One run; `scale` shrinks every part alike, for trials."""

    def __init__(self, settings: Settings, options: argparse.Namespace) -> None:
        self.settings, self.options = settings, options
        self.scale: float = options.scale
        self.repeat: int = options.repeat
        self.checker: Checker = build_checker(settings)

    def throughput(self) -> str:
        o = self.options
        share = _THROUGHPUT_SHARE * self.scale
        timings = readers.throughput(self.checker, self.settings, share, self.repeat, o.run, o.presidio)
        page.draw_throughput(timings, o.figures)
        return page.throughput(timings) + "\n" + page.stages(stages(self.checker, mixed(share / 4), self.repeat))

    def cleared(self) -> str:
        return page.cleared(readers.cleared(self.checker, min(1.0, self.scale), self.repeat))

    def scans(self) -> str:
        return page.scans(processes.scans(_SCAN_SHARE * self.scale, self.repeat))

    def engines(self) -> str:
        return page.engines(processes.engines(int(_ENGINE_ROWS * self.scale)))

    def served(self) -> str:
        documents = mixed(_THROUGHPUT_SHARE * self.scale, longest=served.LONGEST)
        (own,) = in_turn(
            {"in process": lambda: self.checker.check_many(documents)},
            characters=sum(len(d.text) for d in documents),
            documents=len(documents),
            repeat=self.repeat,
        )
        return page.served(*served.loads(_LOAD_SECONDS * self.scale, max(1, self.repeat - 1)), own)

    def growth(self) -> str:
        documents = growth.documents(self.checker, int(growth.SIZES[-1] * min(1.0, self.scale)), self.repeat)
        rulebooks = growth.rulebooks(self.checker.rulebook, int(growth.TERMS[-1] * min(1.0, self.scale)), self.repeat)
        page.draw_growth(documents, self.options.figures)
        return page.growth(documents, rulebooks)

    def starts(self) -> str:
        return page.starts(processes.cold_starts(self.repeat), processes.installed_sizes())


PARTS: dict[str, Callable[[Bench], str]] = {
    "throughput": Bench.throughput,
    "cleared": Bench.cleared,
    "scans": Bench.scans,
    "engines": Bench.engines,
    "served": Bench.served,
    "growth": Bench.growth,
    "starts": Bench.starts,
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size of every part")
    parser.add_argument("--repeat", type=int, default=3, help="rounds in turn")
    parser.add_argument("--run", type=Path, default=ROOT / "training" / "tuned", help="fine-tuning run, for torch")
    parser.add_argument("--presidio", type=Path, default=ROOT / ".venv" / "presidio" / "bin" / "python")
    parser.add_argument("--out", type=Path, help="default docs/benchmarks.md for a full run, else standard output")
    options = parser.parse_args(argv)
    full = options.scale == 1.0 and set(options.parts) == set(PARTS)
    target = options.out or (PAGE if full else None)
    options.figures = (target.parent if target else ROOT / "runs" / "bench") / "figures"
    began = time.perf_counter()
    bench = Bench(Settings.from_env(), options)
    sections = []
    for name in options.parts:
        part_began = time.perf_counter()
        sections.append(PARTS[name](bench))
        print(f"{name}: {time.perf_counter() - part_began:.0f} s", file=sys.stderr, flush=True)
    text = "\n".join([page.head((time.perf_counter() - began) / 60, options.scale), *sections])
    if target:
        target.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
