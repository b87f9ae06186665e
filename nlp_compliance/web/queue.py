"""The bounded queue in front of the checker: a fixed number of workers, a fixed number waiting, everybody else told at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from nlp_compliance.errors import OverloadedError, TooManyRequestsError

T = TypeVar("T")


class WorkQueue:
    """At most `workers` calls run and `limit` are open in all, `per_client` of them for one caller."""

    def __init__(self, *, workers: int, limit: int, per_client: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="score")
        self._workers, self.limit, self.per_client = workers, limit, per_client
        self._clients: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """Calls running or waiting."""
        return sum(self._clients.values())

    async def run(self, client: str, call: Callable[[], T]) -> T:
        """Run `call` in a worker. Raises OverloadedError or TooManyRequestsError at once when there is no room."""
        if self.open >= self.limit:
            raise OverloadedError(
                f"{self.open} requests are open, the limit is {self.limit}; repeat after the time in Retry-After"
            )
        if self._clients[client] >= self.per_client:
            raise TooManyRequestsError(
                f"{self._clients[client]} of your requests are open, the limit is {self.per_client}; wait for their answers"
            )
        self._clients[client] += 1
        try:
            # Shielded: a caller who hangs up must not make the count forget a call that still runs.
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._pool, call))
        finally:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    def close(self) -> None:
        """Finish what was accepted, take nothing more."""
        self._pool.shutdown(wait=True)
