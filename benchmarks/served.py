"""Load on the HTTP endpoint: callers who send their next request as soon as they have the answer to the last."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.growth import resident_mb
from benchmarks.texts import SEED, mixed
from nlp_compliance.records import Document

ROOT = Path(__file__).resolve().parent.parent
CALLERS = (1, 8, 64)
BATCH = 4
LONGEST = 2_000
_READY_S, _STOP_S = 300.0, 120.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    address: str
    process: int

    def resident_mb(self, field: str = "VmRSS") -> float:
        return resident_mb(self.process, field)


@dataclass(frozen=True, slots=True)
class Load:
    """Answers with status 200 of all rounds: documents and characters judged, seconds of every call, and refusals."""

    route: str
    callers: int
    documents: int
    characters: int
    seconds: float
    latencies: tuple[float, ...]
    errors: int
    rates: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Characters a second over all rounds."""
        return self.characters / self.seconds

    @property
    def spread(self) -> float:
        """Half the range of the rounds' rates as a share of the whole."""
        return (max(self.rates) - min(self.rates)) / 2 / self.rate if self.rate else 0.0


@contextmanager
def started(workers: int = 1) -> Iterator[Server]:
    """A server of so many processes on a free port with empty data, ready to answer; stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        own = {"PORT": str(port), "WORKERS": str(workers), "DATA_DIR": folder, "LOG_LEVEL": "error"}
        environment = {**os.environ, **{f"NLP_COMPLIANCE_{name}": value for name, value in own.items()}}
        child = subprocess.Popen([sys.executable, str(ROOT / "serve.py")], env=environment)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_ready(address)
            yield Server(address, child.pid)
        finally:
            child.terminate()
            child.wait(_STOP_S)


def wait_until_ready(address: str) -> None:
    end = time.monotonic() + _READY_S
    with httpx.Client(timeout=5) as client:
        while time.monotonic() < end:
            try:
                if client.get(address + "/readyz").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.02)
    raise SystemExit(f"{address} did not become ready within {_READY_S:.0f} s")


def loads(seconds: float, repeat: int) -> tuple[list[Load], float, float]:
    """Both routes at 1, 8 and 64 callers in turn, `seconds` each; then MB resident now and at most."""
    documents = mixed(longest=LONGEST)
    singles = [(1, len(d.text), json.dumps(_item(d)).encode()) for d in documents]
    groups = [documents[i : i + BATCH] for i in range(0, len(documents), BATCH)]
    batches = [
        (len(g), sum(len(d.text) for d in g), json.dumps({"items": [_item(d) for d in g]}).encode()) for g in groups
    ]
    bodies = {"/v1/score": singles, "/v1/score/batch": batches}
    kinds = [(route, callers) for route in bodies for callers in CALLERS]
    rounds: dict[tuple[str, int], list[Load]] = {kind: [] for kind in kinds}
    with started() as server:
        asyncio.run(drive(server.address, "/v1/score", singles, 4, min(seconds, 2.0)))
        for _ in range(repeat):
            for route, callers in kinds:
                rounds[route, callers].append(
                    asyncio.run(drive(server.address, route, bodies[route], callers, seconds))
                )
        memory = server.resident_mb(), server.resident_mb("VmHWM")
    return [_together(rounds[kind]) for kind in kinds], *memory


def _item(document: Document) -> dict[str, str]:
    return {"id": document.id, "text": document.text}


async def drive(
    address: str, route: str, bodies: Sequence[tuple[int, int, bytes]], callers: int, seconds: float
) -> Load:
    """One round; `bodies` are (documents, characters, body). Calls that are open at the end are waited for."""
    done: list[tuple[int, int, float]] = []
    errors, began = 0, time.perf_counter()
    headers = {"content-type": "application/json"}

    async def caller(client: httpx.AsyncClient, number: int) -> None:
        nonlocal errors
        # Every caller has an order of its own, so that long texts do not come from all at the same moment.
        order = random.Random(SEED + number)
        while time.perf_counter() - began < seconds:
            documents, characters, body = order.choice(bodies)
            sent = time.perf_counter()
            answer = await client.post(address + route, content=body, headers=headers)
            if answer.status_code == 200:
                done.append((documents, characters, time.perf_counter() - sent))
            else:
                errors += 1

    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=callers)) as client:
        await asyncio.gather(*(caller(client, number) for number in range(callers)))
    took = time.perf_counter() - began
    documents, characters = sum(d for d, _, _ in done), sum(c for _, c, _ in done)
    return Load(route, callers, documents, characters, took, tuple(s for _, _, s in done), errors, (characters / took,))


def _together(rounds: Sequence[Load]) -> Load:
    first = rounds[0]
    return Load(
        route=first.route,
        callers=first.callers,
        documents=sum(r.documents for r in rounds),
        characters=sum(r.characters for r in rounds),
        seconds=sum(r.seconds for r in rounds),
        latencies=tuple(s for r in rounds for s in r.latencies),
        errors=sum(r.errors for r in rounds),
        rates=tuple(rate for r in rounds for rate in r.rates),
    )
