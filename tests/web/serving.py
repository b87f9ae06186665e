"""`serve.py` as a process of its own, to be killed, stopped and starved."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from nlp_compliance.client import Client, RemoteError
from nlp_compliance.settings import PREFIX

ROOT = Path(__file__).parents[2]
# Generous, because a busy machine is no fault of the server.
START_S = 180


class Server:
    """`serve.py` as a process of its own."""

    def __init__(
        self, folder: Path, database_url: str = "", key: str = "", most_file_bytes: int = 0, **settings
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        own = {"DATA_DIR": folder, "DATABASE_URL": database_url, "DETECTORS": "lexical", "PORT": self.port, **settings}
        self.environment = {**os.environ, **{PREFIX + k: str(v) for k, v in own.items()}}
        self.url = f"http://127.0.0.1:{self.port}"
        self.key, self.most_file_bytes = key, most_file_bytes
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, str(ROOT / "serve.py")]
        if self.most_file_bytes:
            # The kernel refuses longer files (EFBIG) as a full disk would (ENOSPC).
            command = ["prlimit", f"--fsize={self.most_file_bytes}", *command]
        # A session of its own, so that its worker processes can be killed with it.
        self.process = subprocess.Popen(
            command, env=self.environment, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/"
        )
        end = time.monotonic() + START_S
        while True:
            try:
                Client(self.url, self.key, timeout_s=2, retries=0).labels()
                return
            except RemoteError:
                assert time.monotonic() < end and self.process.poll() is None, "the server did not start"
                time.sleep(0.05)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(START_S)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(180)
