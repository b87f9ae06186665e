"""`make load`: many callers against a server for minutes; throughput, latencies, errors, and whether memory grows.

    python -m benchmarks.load [--callers 50] [--seconds 300] [--url URL --pid PID] [--key KEY] [--out runs/load]

Without `--url` a server is started on a free port with a data folder of its own, and stopped at the end. Each caller
sends its next text as soon as it has the answer to the last. Writes `load.json` and `load.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.measure import processor
from benchmarks.memory import resident_mb
from benchmarks.served import started, wait_until_ready
from benchmarks.texts import SEED, mixed

ROOT = Path(__file__).resolve().parent.parent
# Upper ends of the classes in which latencies are also reported, in characters.
CLASSES = (100, 500, 2_000, 20_000)
_TIMEOUT_S = 120.0
_EVERY_S = 1.0
# Caches fill and libraries load at first; the slope of memory is taken after this share of the time.
_WARM = 0.2


@dataclass(frozen=True, slots=True)
class Answer:
    """One call: characters sent, seconds to the whole answer, HTTP status, or the exception's name where none came."""

    characters: int
    seconds: float
    status: str


@dataclass(slots=True)
class Seen:
    """What a run saw. `memory` are (seconds since the start, MB of the server and its children)."""

    answers: list[Answer] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of the answers with status 200 to texts of one class of length."""

    texts: str
    answers: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Memory:
    """MB resident; `slope_mb_per_minute` is a least-squares line after the warm-up, None with too few samples."""

    start_mb: float
    end_mb: float
    peak_mb: float
    slope_mb_per_minute: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of one run; rates are shares of all calls."""

    callers: int
    seconds: float
    answers: int
    answers_per_second: float
    characters_per_second: float
    error_rate: float
    by_status: dict[str, int]
    latencies: tuple[Latency, ...]
    memory: Memory | None


async def drive(base: str, texts: Sequence[str], callers: int, seconds: float, pid: int | None, key: str) -> Seen:
    """Keeps `callers` calls open for `seconds`; calls that are open at the end are still waited for."""
    seen, started = Seen(), time.monotonic()
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    bodies = [(len(t), json.dumps({"text": t}).encode()) for t in texts]

    async def caller(client: httpx.AsyncClient, number: int) -> None:
        # Every caller has its own order, so that long texts do not come from all at the same moment.
        order = random.Random(SEED + number)
        while time.monotonic() - started < seconds:
            characters, body = order.choice(bodies)
            began = time.monotonic()
            try:
                answer = await client.post(f"{base}/v1/score", content=body, headers=headers)
                status, wait = str(answer.status_code), float(answer.headers.get("Retry-After", 0))
            except httpx.HTTPError as error:
                status, wait = type(error).__name__, 0.1
            seen.answers.append(Answer(characters, time.monotonic() - began, status))
            # A refused caller waits as it is told to; one that hammers would only count its own refusals.
            await asyncio.sleep(min(wait, max(0.0, seconds - (time.monotonic() - started))))

    async def watch(server: int) -> None:
        while True:
            seen.memory.append((time.monotonic() - started, resident_mb(server)))
            await asyncio.sleep(_EVERY_S)

    limits = httpx.Limits(max_connections=callers, max_keepalive_connections=callers)
    async with httpx.AsyncClient(timeout=_TIMEOUT_S, limits=limits) as client:
        watching = asyncio.create_task(watch(pid)) if pid else None
        await asyncio.gather(*(caller(client, number) for number in range(callers)))
        seen.took_s = time.monotonic() - started
        if watching and pid:
            watching.cancel()
            seen.memory.append((seen.took_s, resident_mb(pid)))
    return seen


def outcome(seen: Seen, callers: int) -> Outcome:
    """The figures of a run."""
    good = [a for a in seen.answers if a.status == "200"]
    by_status = Counter(a.status for a in seen.answers)
    return Outcome(
        callers=callers,
        seconds=round(seen.took_s, 1),
        answers=len(good),
        answers_per_second=round(len(good) / seen.took_s, 2),
        characters_per_second=round(sum(a.characters for a in good) / seen.took_s, 1),
        error_rate=round(1 - len(good) / max(1, len(seen.answers)), 5),
        by_status=dict(sorted(by_status.items())),
        latencies=tuple(_latencies(good)),
        memory=_memory(seen.memory),
    )


def _latencies(good: Sequence[Answer]) -> Iterator[Latency]:
    classes = [("all", 0, sys.maxsize)]
    classes += [(f"{low + 1:,} to {high:,}", low, high) for low, high in zip((0, *CLASSES), CLASSES, strict=False)]
    for name, low, high in classes:
        times = [a.seconds * 1000 for a in good if low < a.characters <= high]
        if times:
            p50, p95, p99 = (round(float(p), 1) for p in np.percentile(times, (50, 95, 99)))
            yield Latency(name, len(times), p50, p95, p99)


def _memory(samples: Sequence[tuple[float, float]]) -> Memory | None:
    if not samples:
        return None
    warm = [s for s in samples if s[0] >= samples[-1][0] * _WARM]
    slope = round(float(np.polyfit(*zip(*warm, strict=True), 1)[0]) * 60, 2) if len(warm) >= 5 else None
    return Memory(round(samples[0][1], 1), round(samples[-1][1], 1), round(max(mb for _, mb in samples), 1), slope)


def page(result: Outcome, machine: str) -> str:
    """The figures as Markdown."""
    lines = [
        f"Load: {result.callers} callers for {result.seconds:.0f} s, `POST /v1/score`, {machine}.",
        "",
        f"{result.answers:,} answers, {result.answers_per_second:,} a second, {result.characters_per_second:,} characters a "
        f"second; error rate {result.error_rate:.2%}.",
        "",
        "| status | calls | share |",
        "|---|---|---|",
    ]
    calls = sum(result.by_status.values())
    lines += [f"| {s} | {n:,} | {n / calls:.2%} |" for s, n in result.by_status.items()]
    lines += ["", "| characters | answers | p50 ms | p95 ms | p99 ms |", "|---|---|---|---|---|"]
    lines += [
        f"| {x.texts} | {x.answers:,} | {x.p50_ms:,.0f} | {x.p95_ms:,.0f} | {x.p99_ms:,.0f} |" for x in result.latencies
    ]
    if result.memory:
        m = result.memory
        slope = "too short to say" if m.slope_mb_per_minute is None else f"{m.slope_mb_per_minute:+.2f}"
        lines += ["", "| MB at the start | at the end | peak | MB a minute after the warm-up |", "|---|---|---|---|"]
        lines += [f"| {m.start_mb:.0f} | {m.end_mb:.0f} | {m.peak_mb:.0f} | {slope} |"]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__.splitlines()[0])
    parser.add_argument("--callers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--workers", type=int, default=1, help="processes of the server that is started")
    parser.add_argument("--url", default="", help="a running server instead")
    parser.add_argument("--pid", type=int, help="its process, for the memory")
    parser.add_argument("--key", default=os.environ.get("NLP_COMPLIANCE_API_KEY", ""))
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "load")
    options = parser.parse_args(argv)
    texts = [document.text for document in mixed()]

    def measured(base: str, pid: int | None) -> Seen:
        return asyncio.run(drive(base, texts, options.callers, options.seconds, pid, options.key))

    if options.url:
        base = options.url.rstrip("/")
        wait_until_ready(base)
        seen = measured(base, options.pid)
    else:
        with started(options.workers) as server:
            seen = measured(server.address, server.process)
    result, machine = outcome(seen, options.callers), processor()
    row: dict[str, Any] = {"machine": machine, **asdict(result), "memory_samples": seen.memory}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "load.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    text = page(result, machine)
    (options.out / "load.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
