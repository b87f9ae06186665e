"""docs/benchmarks.md and its figures, section by section, from what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

from benchmarks.growth import Step, unevenness
from benchmarks.measure import Timing, machine, percentile, table
from benchmarks.processes import Start
from benchmarks.readers import LIMIT, PRODUCT
from benchmarks.served import BATCH, LONGEST, Load
from benchmarks.stages import MODEL
from benchmarks.texts import SEED

matplotlib.use("Agg")
from matplotlib import pyplot

# What was promised (issue "Fast"): the page says beside every figure whether it is kept.
LEAST_SHARE, MOST_UNEVEN, MOST_SECONDS, MOST_MB = 0.85, 0.20, 2.0, 500.0


def head(minutes: float, scale: float) -> str:
    return f"""# Benchmarks

Written by `python -m benchmarks.run --scale {scale:g}` (`make bench` is scale 1) in {minutes:.0f} minutes; not edited by hand.
Rates differ from machine to machine and from hour to hour: read the ratios. Ways that are compared were measured in turn, round by round; figures are medians over
rounds, spread is half the range. One thread unless said otherwise.

Machine: {machine()}. Seed {SEED}.
"""


def throughput(timings: Sequence[Timing]) -> str:
    limit, product = (next(t for t in timings if t.name == name) for name in (LIMIT, PRODUCT))
    rows = [
        [
            t.name,
            f"{t.rate:,.0f}",
            f"{t.documents_rate:,.0f}",
            f"±{t.spread:.0%}",
            f"{t.share_of(limit):.2f}",
            f"{product.share_of(t):.2f}",
        ]
        for t in timings
    ]
    columns = ["way", "characters/s", "documents/s", "spread", "share of the limit", "product is … times as fast"]
    return f"""## Throughput in one process

{product.documents} documents of 20 to 20,000 characters, {product.characters:,} in all, {len(product.seconds)} rounds.
{_kept(product.share_of(limit) >= LEAST_SHARE)}: the product reaches {product.share_of(limit):.0%} of the bare
runtime's throughput on the same windows; wanted are {LEAST_SHARE:.0%}.

{table(columns, rows)}

![throughput of every way](figures/throughput.png)
"""


def stages(seconds: Mapping[str, float]) -> str:
    model = seconds[MODEL]
    rows = [[name, f"{s:.2f}", f"{s / model:.3f}"] for name, s in seconds.items()]
    return f"""## Where the time goes

Processor time over a part of the same documents, each stage by itself, the least of several rounds.

{table(["stage", "seconds", "against the model alone"], rows)}
"""


def cleared(timings: Sequence[Timing]) -> str:
    everything, product = timings
    rows = [[t.name, f"{t.rate:,.0f}", f"{t.documents_rate:,.0f}", f"±{t.spread:.0%}"] for t in timings]
    return f"""## Texts that sell nothing

{product.documents} validation texts that look like promotion and are none, {product.characters:,} characters. The linear model clears a part of them,
which makes the product {product.share_of(everything):.2f} times as fast on them.

{table(["way", "characters/s", "documents/s", "spread"], rows)}
"""


def scans(timings: Sequence[Timing]) -> str:
    one = timings[0]
    rows = [
        [t.name, f"{t.rate:,.0f}", f"{t.documents_rate:,.0f}", f"±{t.spread:.0%}", f"{t.share_of(one):.2f}"]
        for t in timings
    ]
    return f"""## Scanning a file

{one.documents} rows of JSONL, {one.characters:,} characters, start-up included.

{table(["way", "characters/s", "documents/s", "spread", "against one process"], rows)}
"""


def engines(timings: Sequence[Timing]) -> str:
    local = timings[0]
    rows = [[t.name, f"{t.documents_rate:,.0f}", f"{t.seconds[0]:,.0f}", f"{t.share_of(local):.2f}"] for t in timings]
    return f"""## A cluster on this machine

{local.documents:,} rows of JSONL of {local.characters / local.documents:.0f} characters, start-up included; the results are the same bytes.
What a cluster is for: [scanning.md](scanning.md#how-many-processes-and-when-a-cluster).

{table(["engine", "documents/s", "seconds", "against local"], rows)}
"""


def served(loads: Sequence[Load], resident_mb: float, peak_mb: float, in_process: Timing) -> str:
    rows = [
        [
            f"`POST {load.route}`",
            load.callers,
            f"{load.documents / load.seconds:,.1f}",
            f"{load.rate:,.0f}",
            f"±{load.spread:.0%}",
            f"{load.rate / in_process.rate:.2f}",
            f"{percentile(load.latencies, 0.5) * 1000:,.0f}",
            f"{percentile(load.latencies, 0.99) * 1000:,.0f}",
            load.errors,
        ]
        for load in loads
    ]
    columns = ["route", "callers", "documents/s", "characters/s", "spread", "against in-process", "p50 ms", "p99 ms"]
    return f"""## Over HTTP

Documents of at most {LONGEST:,} characters, {BATCH} in a batch request; callers send as soon as they have the answer
and share the machine's processors with the server. In process, one thread: {in_process.rate:,.0f} characters/s.
{_kept(peak_mb < MOST_MB)}: the server holds {resident_mb:.0f} MB after this, {peak_mb:.0f} MB at most; wanted are less than
{MOST_MB:.0f} MB.

{table([*columns, "refused"], rows)}
"""


def growth(documents: Sequence[Step], rulebooks: Sequence[Step]) -> str:
    by_size = [[f"{s.size:,}", f"{s.microseconds:.1f}", f"±{s.spread:.1f}", f"{s.resident_mb:.0f}"] for s in documents]
    by_terms = [[f"{s.size:,}", f"{s.microseconds:.2f}", f"±{s.spread:.2f}"] for s in rulebooks]
    return f"""## Growth

{_kept(unevenness(documents) <= MOST_UNEVEN)}: a character costs at most {unevenness(documents):.0%} more at one length
of document than at another; wanted are {MOST_UNEVEN:.0%}.

{table(["characters of one document", "µs a character", "spread", "resident MB"], by_size)}

{table(["more terms in the rulebook", "µs a character, rules alone", "spread"], by_terms)}

![cost of a character by length of document](figures/growth.png)
"""


def starts(cold: Sequence[Start], sizes: dict[str, float]) -> str:
    slowest = max(cold, key=lambda s: s.seconds)
    rows = [[s.name, f"{s.seconds:.2f}", f"±{s.spread:.2f}", f"{s.peak_mb:.0f}"] for s in cold]
    largest = [[name, f"{mb:.1f}"] for name, mb in list(sizes.items())[:10]]
    rest = sum(sizes.values()) - sum(mb for _, mb in list(sizes.items())[:10])
    return f"""## Cold start and size

{_kept(slowest.seconds < MOST_SECONDS)}: the slowest start takes {slowest.seconds:.2f} s; wanted are less than
{MOST_SECONDS:.0f} s.

{table(["from nothing to the end", "seconds", "spread", "most MB resident"], rows)}

Serving needs {sum(sizes.values()):.0f} MB on disk, {len(sizes)} packages:

{table(["package", "MB"], [*largest, [f"{max(0, len(sizes) - 10)} others", f"{rest:.1f}"]])}
"""


def _kept(yes: bool) -> str:
    return "**Kept**" if yes else "**Not kept**"


def draw_throughput(timings: Sequence[Timing], folder: Path) -> None:
    """Characters a second of every way, with the range over rounds."""
    figure, axes = pyplot.subplots(figsize=(8, 0.5 * len(timings) + 1))
    for place, t in enumerate(reversed(timings)):
        rates = [t.characters / s for s in t.seconds]
        axes.barh(place, t.rate, color="tab:orange" if t.name == PRODUCT else "tab:blue")
        axes.plot([min(rates), max(rates)], [place, place], color="black", linewidth=2)
    axes.set_yticks(range(len(timings)), [t.name.replace("`", "") for t in reversed(timings)])
    axes.set(xlabel="characters a second", xscale="log")
    _save(figure, folder / "throughput.png")


def draw_growth(documents: Sequence[Step], folder: Path) -> None:
    """Microseconds a character by length, with the band that was promised."""
    figure, axes = pyplot.subplots(figsize=(6, 3.5))
    middle = statistics.median(s.microseconds for s in documents)
    axes.axhspan(middle * (1 - MOST_UNEVEN / 2), middle * (1 + MOST_UNEVEN / 2), color="tab:green", alpha=0.15)
    axes.errorbar(
        [s.size for s in documents],
        [s.microseconds for s in documents],
        yerr=[s.spread for s in documents],
        marker="o",
        capsize=3,
    )
    axes.set(xlabel="characters of one document", ylabel="µs a character", xscale="log", ylim=(0, None))
    _save(figure, folder / "growth.png")


def _save(figure: pyplot.Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)
