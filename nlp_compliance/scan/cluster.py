"""The same scan on a Ray cluster (optional extra `cluster`): one worker with its own checker per actor.

Tasks stream from the driver and come back in order into the same journal, so a cluster scan is resumed like a local
one. An actor that dies is started again and its task done again by Ray; a task has no effect but its rows.

These are actors of Ray itself, not a pipeline of Ray Data. Ray Data reads its sources in tasks of its own, listed before
the start, and merges and repeats blocks as it sees fit; it has no source that the driver feeds. But here the driver must
feed: it starts in the middle of a table after a kill, takes reposts out before they are sent, and counts a task as done
when its rows are on the disk.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from nlp_compliance.errors import MissingExtraError, NlpComplianceError
from nlp_compliance.scan.local import Engine
from nlp_compliance.scan.tasks import Task
from nlp_compliance.scan.worker import Job, Row, Worker

_AHEAD = 3
_RESTARTS = 5


def in_cluster(actors: int, *, address: str | None = None) -> Engine:
    """An engine of `actors` Ray actors; `address` of a running cluster, else one is started on this machine.

    Files must lie on a path that every node sees under the same name, or at an address of fsspec. Raises
    MissingExtraError without the extra at once, before a scan has written anything.
    """
    ray = _ray()

    def run(job: Job, tasks: Iterable[Task]) -> Iterator[tuple[Task, list[Row]]]:
        started = not ray.is_initialized()
        if started:
            _start(ray, actors, address)
        try:
            yield from _ordered(ray, replace(job, settings=job.settings.replace(threads=1)), tasks, actors)
        finally:
            if started:
                ray.shutdown()

    return run


def _start(ray: Any, actors: int, address: str | None) -> None:
    """Starts Ray on this machine, or joins the cluster at `address`. Raises NlpComplianceError."""
    own = {} if address else {"num_cpus": actors}
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="error", **own)
    except Exception as error:
        # Ray fails with whatever its parts fail with: RuntimeError, ConnectionError, ValueError, errors of gRPC.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        what = f"the Ray cluster at {address} cannot be reached" if address else "Ray cannot be started on this machine"
        raise NlpComplianceError(
            f"{what} ({reason}); check --ray-address and that Ray works here (`ray status`), "
            "or scan without --engine ray, with --workers"
        ) from error


def _ordered(ray: Any, job: Job, tasks: Iterable[Task], actors: int) -> Iterator[tuple[Task, list[Row]]]:
    remote = ray.remote(max_restarts=_RESTARTS, max_task_retries=_RESTARTS, num_cpus=1)(Worker)
    pool = [remote.remote(job) for _ in range(actors)]
    waiting: deque[tuple[Task, Any]] = deque()
    try:
        for number, task in enumerate(tasks):
            waiting.append((task, pool[number % actors].run.remote(task)))
            if len(waiting) >= actors * _AHEAD:
                done, answer = waiting.popleft()
                yield done, ray.get(answer)
        while waiting:
            done, answer = waiting.popleft()
            yield done, ray.get(answer)
    except ray.exceptions.RayError as error:
        raise NlpComplianceError(
            f"the cluster lost a worker for good ({error}); what is done is kept: run the same command again"
        ) from error
    finally:
        for actor in pool:
            ray.kill(actor)


def _ray() -> Any:
    # Usage statistics would be sent over the network.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MissingExtraError(
            f"--engine ray needs the optional extra ({error}); install: pip install 'nlp-compliance[cluster]'"
        ) from error
    return ray
