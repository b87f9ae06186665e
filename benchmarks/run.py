"""`make bench`: measures speed end to end and writes docs/benchmarks.md. Everything is a ratio within one run.

Each way of reading is measured several times in turn (so that a slow minute hits all of them) and reported by its
median and spread.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.texts import MIX, SEED, mixed, stock, text_of
from nlp_compliance.checker import Checker, build_checker
from nlp_compliance.detect.lexical import LexicalDetector
from nlp_compliance.inference.bundle import open_bundle
from nlp_compliance.inference.runtime import Encoder
from nlp_compliance.records import Document
from nlp_compliance.rulebook import load_rulebook
from nlp_compliance.settings import Settings
from nlp_compliance.text.parse import parse

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
FIGURES = ROOT / "docs" / "figures"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of each repetition of one way over the same texts."""

    name: str
    seconds: tuple[float, ...]
    characters: int

    @property
    def rate(self) -> float:
        """Characters a second at the median."""
        return self.characters / statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the range as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / 2 / statistics.median(self.seconds)


def in_turn(ways: dict[str, Callable[[], object]], characters: int, repeat: int) -> list[Timing]:
    """All ways measured `repeat` times, one after the other, after a warm-up of each."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(repeat):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    return [Timing(name, tuple(times), characters) for name, times in seconds.items()]


def bare_runtime(encoder: Encoder, documents: Sequence[Document]) -> Callable[[], object]:
    """The limit: the model alone over the windows that the product would make, everything else done before."""
    feeds = [(ids, mask) for d in documents for _, ids, mask in encoder.feeds(parse(d))]

    def run() -> None:
        for ids, mask in feeds:
            encoder._session.run(None, {"input_ids": ids, "attention_mask": mask})

    return run


def transformers_pipeline(documents: Sequence[Document], base: Path) -> Callable[[], object]:
    """What people would use: the token classification pipeline over the same encoder, windows by its own stride."""
    import torch
    from transformers import AutoModelForTokenClassification, PreTrainedTokenizerFast, pipeline

    torch.set_num_threads(1)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(base, model_max_length=256)
    model = AutoModelForTokenClassification.from_pretrained(base, dtype=torch.float32)
    reader = pipeline(
        "token-classification", model=model, tokenizer=tokenizer, stride=64, aggregation_strategy="simple"
    )
    texts = [d.text for d in documents]
    return lambda: reader(texts, batch_size=8)


def keyword_filter(documents: Sequence[Document]) -> Callable[[], object]:
    """A plain automaton over the rulebook's terms: no normal text, no guards, no model."""
    import daachorse

    terms = sorted({t for r in load_rulebook().rules for t in r.terms})
    automaton = daachorse.CharwiseDoubleArrayAhoCorasick(terms)
    return lambda: [automaton.find_overlapping(d.text) for d in documents]


def throughput(checker: Checker, encoder: Encoder, repeat: int, base: Path) -> list[Timing]:
    documents = mixed()
    characters = sum(len(d.text) for d in documents)
    rules = Checker([LexicalDetector(load_rulebook())], load_rulebook())
    parsed = documents
    ways: dict[str, Callable[[], object]] = {
        "limit: the model alone": bare_runtime(encoder, documents),
        "product: Checker.check_many": lambda: checker.check_many(documents),
        "product, one text a call": lambda: [checker.check(d) for d in documents],
        "rules alone": lambda: rules.check_many(documents),
        "text pipeline alone": lambda: [parse(d) for d in parsed],
        "keyword filter (daachorse over the rulebook's terms)": keyword_filter(documents),
    }
    if (base / "model.safetensors").is_file():
        ways["transformers pipeline, same encoder"] = transformers_pipeline(documents, base)
    return in_turn(ways, characters, repeat)


def growth(checker: Checker, repeat: int) -> list[tuple[int, float, float]]:
    """(characters, microseconds a character, resident MB) of one document of growing length."""
    source, rows = stock(), []
    long = Checker(checker.detectors, checker.rulebook, thresholds=checker.thresholds, max_text_chars=2_000_000)
    for size in (1_000, 10_000, 100_000, 1_000_000):
        document = Document("x", text_of(size, source))
        times = []
        for _ in range(repeat if size < 1_000_000 else 1):
            started = time.perf_counter()
            long.check(document)
            times.append(time.perf_counter() - started)
        rows.append((size, statistics.median(times) / size * 1e6, resident_mb()))
    return rows


def resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def terms_growth() -> list[tuple[int, float]]:
    """(terms, microseconds a character) of the rules with a rulebook of growing size."""
    rulebook = load_rulebook()
    rule = next(r for r in rulebook.rules if r.terms)
    source = stock()[:50_000]
    rng = np.random.default_rng(SEED)
    out = []
    for count in (100, 1_000, 10_000, 100_000):
        letters = rng.integers(0x4E00, 0x9FA5, size=(count, 5))
        terms = tuple({"".join(map(chr, row)) for row in letters.tolist()} | set(rule.bad[:1]))
        own = replace(
            rulebook, rules=(*rulebook.rules, replace(rule, id="own.terms", terms=terms, patterns=(), good=()))
        )
        detector = LexicalDetector(own)
        document = parse(Document("x", source))
        started = time.perf_counter()
        detector.detect([document])
        out.append((count, (time.perf_counter() - started) / len(source) * 1e6))
    return out


def scan_rates(repeat: int) -> list[Timing]:
    """The scan command over the mix as JSONL, with one and two processes, start-up included."""
    documents = [d for _ in range(3) for d in mixed()]
    characters = sum(len(d.text) for d in documents)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.jsonl"
        # Numbered, so that no text is a repost of another.
        lines = (json.dumps({"id": str(i), "text": f"{i} {d.text}"}) for i, d in enumerate(documents))
        source.write_text("\n".join(lines), "utf-8")

        def scan(workers: int) -> Callable[[], object]:
            out = Path(folder) / f"out-{workers}.jsonl"
            command = [sys.executable, "-m", "nlp_compliance", "scan", str(source), "-o", str(out), "--no-progress"]
            return lambda: subprocess.run([*command, "--workers", str(workers)], check=True, capture_output=True)

        return in_turn({f"scan, {n} process{'es' if n > 1 else ''}": scan(n) for n in (1, 2)}, characters, repeat)


def rows_memory() -> list[tuple[int, float]]:
    """(rows, peak MB of the scanning process) over short rows that repeat: what the engine itself keeps."""
    out = []
    with tempfile.TemporaryDirectory() as folder:
        for rows in (1_000, 10_000, 100_000):
            source = Path(folder) / f"{rows}.jsonl"
            with source.open("w", encoding="utf-8") as stream:
                for i in range(rows):
                    stream.write(
                        json.dumps({"id": str(i), "text": f"溪山保今日开放参保，{i % 1000}号服务点可咨询。"}) + "\n"
                    )
            code = (
                "import resource,sys;from nlp_compliance.cli import app;"
                "sys.argv=['x','scan',sys.argv[1],'-o',sys.argv[1]+'.out.jsonl','--no-progress'];"
                "\ntry: app()\nexcept SystemExit: pass\n"
                "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024)"
            )
            environment = {**os.environ, "NLP_COMPLIANCE_DETECTORS": "lexical"}
            done = subprocess.run(
                [sys.executable, "-c", code, str(source)], capture_output=True, text=True, check=True, env=environment
            )
            out.append((rows, float(done.stdout.split()[-1])))
    return out


def cold_starts(repeat: int) -> list[tuple[str, float]]:
    """Seconds from nothing to the first answer."""
    command = [sys.executable, "-m", "nlp_compliance"]
    text = "溪山保由政府兜底，最高保障300万元。"
    ways = {"check one text": [*command, "check", text, "--format", "json"], "--help": [*command, "--help"]}
    out = []
    for name, argv in ways.items():
        times = []
        for _ in range(repeat + 1):
            started = time.perf_counter()
            subprocess.run(argv, check=True, capture_output=True)
            times.append(time.perf_counter() - started)
        out.append((name, statistics.median(times[1:])))
    return out


@dataclass(frozen=True, slots=True)
class Load:
    """Answers of the server to `callers` at a time."""

    callers: int
    route: str
    documents: int
    seconds: float
    latencies: tuple[float, ...]
    errors: int


async def _drive(base: str, route: str, bodies: Sequence[bytes], callers: int) -> Load:
    import httpx

    pending, latencies, errors = list(enumerate(bodies)), [], 0

    async def caller(client: httpx.AsyncClient) -> None:
        nonlocal errors
        while pending:
            _, body = pending.pop()
            started = time.perf_counter()
            answer = await client.post(base + route, content=body, headers={"content-type": "application/json"})
            latencies.append(time.perf_counter() - started)
            errors += answer.status_code != 200

    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=callers)) as client:
        started = time.perf_counter()
        await asyncio.gather(*(caller(client) for _ in range(callers)))
    return Load(callers, route, len(bodies), time.perf_counter() - started, tuple(latencies), errors)


def http_loads() -> tuple[list[Load], float]:
    """Loads at 1, 8 and 64 callers, and the server's resident MB after them."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "NLP_COMPLIANCE_PORT": str(port), "NLP_COMPLIANCE_LOG_LEVEL": "error"}
    server = subprocess.Popen([sys.executable, str(ROOT / "serve.py")], env=environment)
    base = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(base)
        texts = [d.text for d in mixed() if len(d.text) <= 2_000]
        bodies = [json.dumps({"id": str(i), "text": t}).encode() for i, t in enumerate(texts)]
        batches = [
            json.dumps({"items": [{"id": str(j), "text": t} for j, t in enumerate(texts[i : i + 32])]}).encode()
            for i in range(0, len(texts), 32)
        ]
        asyncio.run(_drive(base, "/v1/score", bodies[:50], 4))
        loads = [asyncio.run(_drive(base, "/v1/score", bodies, n)) for n in (1, 8, 64)]
        loads.append(asyncio.run(_drive(base, "/v1/score/batch", batches, 4)))
        status = Path(f"/proc/{server.pid}/status").read_text()
        memory = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))
    finally:
        server.terminate()
        server.wait(timeout=30)
    return loads, memory


def _wait_until_ready(base: str) -> None:
    import httpx

    for _ in range(300):
        try:
            if httpx.get(base + "/readyz", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise SystemExit("the server did not become ready within 30 s")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, r)) + " |" for r in rows)])


def percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(np.asarray(values), share * 100))


def page(
    timings: Sequence[Timing],
    scans: Sequence[Timing],
    sizes: Sequence[tuple[int, float, float]],
    terms: Sequence[tuple[int, float]],
    rows: Sequence[tuple[int, float]],
    starts: Sequence[tuple[str, float]],
    loads: Sequence[Load],
    memory: float,
    inference_rate: float,
) -> str:
    limit = timings[0].rate
    documents = sum(count for count, _ in MIX)
    speed = [
        [
            t.name,
            f"{t.rate:,.0f}",
            f"{t.rate / limit:.2f}",
            f"±{t.spread:.0%}",
            f"{documents * t.rate / t.characters:,.0f}",
        ]
        for t in timings
    ]
    scanned = [[t.name, f"{t.rate:,.0f}", f"{t.rate / scans[0].rate:.2f}", f"±{t.spread:.0%}"] for t in scans]
    served = []
    for load in loads:
        mean = load.seconds * min(load.callers, 2) / load.documents
        rate = load.documents / load.seconds
        served.append(
            [
                f"`{load.route}`",
                load.callers,
                f"{rate:,.1f}",
                f"{percentile(load.latencies, 0.5) * 1000:.0f}",
                f"{percentile(load.latencies, 0.95) * 1000:.0f}",
                f"{percentile(load.latencies, 0.99) * 1000:.0f}",
                f"{mean * 1000:.0f}",
                load.errors,
            ]
        )
    versions = ", ".join(f"{n} {version(n)}" for n in ("onnxruntime", "numpy", "jieba", "fastapi"))
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return f"""# Benchmarks

Written by `make bench`; not edited by hand. Rates differ from machine to machine: read the ratios.

Machine: {cpu}, {os.cpu_count()} processors, Python {platform.python_version()}, {versions}. Seed {SEED}.
Texts: {documents} documents of 20 to 20,000 characters, {timings[0].characters:,} characters in all, one thread unless said
otherwise. Median of {len(timings[0].seconds)} rounds in turn; spread is half the range.

## Throughput in one process

{table(["way", "characters/s", "share of the limit", "spread", "documents/s"], speed)}

## Scanning a file, start-up included

{table(["way", "characters/s", "against one process", "spread"], scanned)}

## Over HTTP

Documents of at most 2,000 characters; a batch request holds 32. In-process rate on the same texts with one thread:
{inference_rate:,.1f} documents/s. Resident memory of the server afterwards: {memory:.0f} MB.

{table(["route", "callers", "requests/s", "p50 ms", "p95 ms", "p99 ms", "mean service ms", "errors"], served)}

## Growth

{table(["characters of one document", "µs a character", "resident MB"], [[f"{n:,}", f"{us:.1f}", f"{mb:.0f}"] for n, us, mb in sizes])}

{table(["terms in the rulebook", "µs a character, rules alone"], [[f"{n:,}", f"{us:.2f}"] for n, us in terms])}

{table(["rows of a JSONL, rules alone", "peak MB of the scan"], [[f"{n:,}", f"{mb:.0f}"] for n, mb in rows])}

## Cold start

{table(["command", "seconds"], [[n, f"{s:.2f}"] for n, s in starts])}
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.split("\n")[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--base", type=Path, default=ROOT / "training" / "encoder")
    args = parser.parse_args(argv)
    settings = Settings.from_env()
    checker = build_checker(settings)
    encoder = Encoder(open_bundle(settings.bundle))
    short = [d for d in mixed() if len(d.text) <= 2_000]
    (inference,) = in_turn({"in process": lambda: checker.check_many(short)}, len(short), args.repeat)
    text = page(
        throughput(checker, encoder, args.repeat, args.base),
        scan_rates(max(2, args.repeat // 2)),
        growth(checker, args.repeat),
        terms_growth(),
        rows_memory(),
        cold_starts(args.repeat),
        *http_loads(),
        inference.rate,
    )
    PAGE.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
