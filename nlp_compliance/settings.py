"""One table of settings: name, default, help with unit. Environment: NLP_COMPLIANCE_<NAME>; lists are separated by `:`."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_compliance.errors import SettingsError

PREFIX = "NLP_COMPLIANCE_"
RESOURCES = Path(__file__).parent / "resources"


def _setting(default: Any, help_text: str, low: float | None = None, high: float | None = None) -> Any:
    return field(default=default, metadata={"help": help_text, "low": low, "high": high})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, checked when made. Raises SettingsError naming the setting, what was found and what is allowed."""

    bundle: Path = _setting(RESOURCES / "model", "folder of the model bundle")
    linear_bundle: Path = _setting(
        RESOURCES / "linear", "folder of the linear model, blended with the bundle, alone where no bundle lies"
    )
    detectors: tuple[str, ...] = _setting(("lexical", "model", "linear"), "what judges: lexical, model, linear")
    rules_dirs: tuple[Path, ...] = _setting((), "folders with a company's own rules")
    advisory: bool = _setting(False, "also report advisory rules")
    review_band: float = _setting(0.15, "width below a threshold in which a person is asked, as probability", 0.0, 0.5)
    max_text_chars: int = _setting(200_000, "longest text, in characters", 1, 10_000_000)
    max_batch_texts: int = _setting(256, "most texts in one batch request", 1, 10_000)
    max_upload_bytes: int = _setting(
        20_000_000, "largest request body or file, in bytes; a scan streams JSONL, CSV, Parquet", 1_000, 1_000_000_000
    )
    max_unpacked_bytes: int = _setting(200_000_000, "most an archive may unpack to, in bytes", 1_000, 10_000_000_000)
    max_ratio: int = _setting(200, "most times its size a member of an archive may unpack to", 2, 10_000)
    max_members: int = _setting(2_000, "most members of an archive", 1, 1_000_000)
    max_nesting: int = _setting(3, "how deep archives may stand in archives", 1, 10)
    max_pages: int = _setting(300, "most pages or slides of a file", 1, 100_000)
    max_pixels: int = _setting(60_000_000, "largest picture, in pixels", 10_000, 1_000_000_000)
    max_read_seconds: int = _setting(120, "longest a file may be parsed without a new document, in seconds", 1, 3_600)
    ocr: bool = _setting(True, "read pictures and scanned pages, where the extra ocr is installed")
    fetch: bool = _setting(False, "let `check` fetch an article by its https://mp.weixin.qq.com address")
    queue_limit: int = _setting(128, "most requests open at a time in one process of the server", 1, 10_000)
    max_client_requests: int = _setting(
        64, "most requests open at a time for one caller in one process of the server", 1, 10_000
    )
    threads: int = _setting(2, "batches judged at a time", 1, 256)
    batch_tokens: int = _setting(
        8_192, "most characters of texts of several callers judged in one batch", 1, 10_000_000
    )
    max_receive_seconds: int = _setting(120, "longest a request body may take to arrive, in seconds", 1, 3_600)
    workers: int = _setting(1, "server processes, each with a model of its own", 1, 64)
    host: str = _setting("127.0.0.1", "address to listen on")
    port: int = _setting(8000, "port to listen on", 0, 65535)
    api_key: str = _setting("", "key that callers send as `Authorization: Bearer …`; needed beyond loopback")
    data_dir: Path = _setting(Path("nlp-compliance-data"), "folder of the review desk: uploads, SQLite file")
    database_url: str = _setting(
        "", "database of the review desk; empty: SQLite in data_dir; or postgresql+psycopg://…"
    )
    four_eyes: bool = _setting(True, "a verdict needs a second person's approval")
    session_hours: int = _setting(10, "longest a login lasts, in hours", 1, 720)
    max_files: int = _setting(50, "most files in one upload", 1, 1_000)
    retention_days: int = _setting(0, "uploads older than this are deleted, in days; 0: kept for ever", 0, 36_500)
    secure_cookies: bool = _setting(False, "send cookies over https only; switch on behind TLS")
    log_level: str = _setting("info", "critical, error, warning, info or debug")

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):
            _check_range(entry.name, getattr(self, entry.name), entry.metadata["low"], entry.metadata["high"])
        if unknown := set(self.detectors) - {"lexical", "model", "linear"}:
            raise SettingsError(f"detectors names {', '.join(sorted(unknown))}; allowed: lexical, model, linear")
        if self.log_level not in ("critical", "error", "warning", "info", "debug"):
            raise SettingsError(f"log_level is {self.log_level!r}; allowed: critical, error, warning, info, debug")

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Settings from environment variables; anything not set keeps its default."""
        environment = os.environ if environment is None else environment
        values = {}
        for entry in dataclasses.fields(cls):
            raw = environment.get(PREFIX + entry.name.upper())
            if raw is not None:
                values[entry.name] = _parsed(entry.name, raw, entry.default)
        return cls(**values)

    def replace(self, **changes: Any) -> Settings:
        """The same settings with some changed."""
        return dataclasses.replace(self, **changes)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach `host`."""
        return _is_loopback(self.host)

    def check_exposure(self) -> None:
        """Raises SettingsError when the server would listen beyond this machine without asking for a key."""
        if not self.api_key and not self.is_loopback:
            raise SettingsError(
                f"host is {self.host}, which others can reach, and no api_key is set; "
                f"set {PREFIX}API_KEY, or listen on 127.0.0.1"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_range(name: str, value: Any, low: float | None, high: float | None) -> None:
    if low is not None and high is not None and not low <= value <= high:
        raise SettingsError(f"{name} is {value}; allowed: {low:g} to {high:g}")


def _split(raw: str) -> list[str]:
    return [part for part in raw.split(os.pathsep) if part]


_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def _parsed(name: str, raw: str, default: Any) -> Any:
    if isinstance(default, bool):
        if raw.lower() not in _FLAGS:
            raise SettingsError(f"{PREFIX}{name.upper()} is {raw!r}; allowed: {', '.join(_FLAGS)}")
        return _FLAGS[raw.lower()]
    if isinstance(default, tuple):
        return tuple(Path(part) if name == "rules_dirs" else part for part in _split(raw))
    convert: Callable[[str], Any] = type(default) if not isinstance(default, Path) else Path
    try:
        return convert(raw)
    except ValueError as error:
        raise SettingsError(f"{PREFIX}{name.upper()} is {raw!r}; expected {type(default).__name__}") from error
