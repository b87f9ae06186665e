"""A thread that does one thing again and again until it is stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("nlp_compliance.desk")


class Repeated:
    """Calls `call` at the start and then every `interval_s` seconds; a failure is logged and tried again next time."""

    def __init__(self, name: str, interval_s: float, call: Callable[[], object]) -> None:
        self.name, self.interval_s, self.call = name, interval_s, call
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 15.0) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.call()
            except Exception:
                log.exception("%s failed; it will be tried again", self.name)
            self._stopping.wait(self.interval_s)
