"""Who may call the endpoint: API keys with scopes and a rate, and the one key of the settings.

Where no key exists, anybody on this machine may call; a request that a proxy handed on comes from somewhere else. So
does one that names another host: a foreign page in a browser here may let its own domain lead to this machine.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fastapi import Request

from nlp_compliance.errors import ForbiddenError, TooManyRequestsError, UnauthorizedError
from nlp_compliance.settings import Settings
from nlp_compliance.store import keys
from nlp_compliance.store.database import Database
from nlp_compliance.store.schema import ApiKey
from nlp_compliance.web.rates import Rates

# How long a key that was found is believed without asking the database, in seconds; so long does a revocation take.
_BELIEVED_S = 10.0
_MOST_REMEMBERED = 10_000
_SCHEME = re.compile("^bearer( +|$)", re.IGNORECASE)
_FORWARDED = ("x-forwarded-for", "forwarded", "x-real-ip")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `key` is None for the key of the settings and for callers without one."""

    name: str
    scopes: frozenset[str]
    key: ApiKey | None = None


@dataclass(slots=True)
class Access:
    """Decides about every call to the endpoint. `database` and `rates` are None for a server without the review desk."""

    settings: Settings
    database: Database | None
    rates: Rates | None = None
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, tuple[float, ApiKey | None]] = field(default_factory=dict)
    _asked: tuple[float, bool] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, request: Request, scope: str) -> Caller:
        """Raises UnauthorizedError, ForbiddenError, TooManyRequestsError with the time to wait, or StoreError."""
        caller = self._caller(request)
        if scope not in caller.scopes:
            has = ", ".join(sorted(caller.scopes))
            raise ForbiddenError(f"this route needs the scope `{scope}`, the key has: {has}; ask the operator for it")
        if caller.key is not None:
            self._take(caller.key)
        return caller

    def _caller(self, request: Request) -> Caller:
        given = _SCHEME.sub("", request.headers.get("Authorization", "")).strip()
        own = self.settings.api_key
        if own and hmac.compare_digest(given.encode(), own.encode()):
            return Caller("settings", frozenset(keys.SCOPES))
        row = self._find(given) if given and self.database is not None else None
        if row is not None:
            return Caller(row.name, frozenset(row.scopes.split()), row)
        proxied = any(name in request.headers for name in _FORWARDED)
        if given or own or proxied or not self.settings.is_loopback or self._keys_exist():
            found = "the key shown is unknown, expired or revoked" if given else "no key was shown"
            raise UnauthorizedError(f"{found}; send the header `Authorization: Bearer <key>` with a valid key")
        host = request.headers.get("host", "")
        if not _is_local(host, self.settings.host):
            raise UnauthorizedError(
                f"the host {host[:100]!r} is not this machine, and no key was shown; call 127.0.0.1 or localhost, or send "
                "the header `Authorization: Bearer <key>` with a valid key"
            )
        return Caller("local", frozenset(keys.SCOPES))

    def _find(self, given: str) -> ApiKey | None:
        assert self.database is not None
        digest, now = keys.hashed(given), self.clock()
        with self._lock:
            known = self._known.get(digest)
        if known is not None and now - known[0] < _BELIEVED_S:
            return known[1]
        with self.database.reading() as session:
            row = keys.find(session, given)
        with self._lock:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[digest] = (now, row)
        return row

    def _keys_exist(self) -> bool:
        """Once a key was made, every caller needs one, also when it has expired since."""
        now = self.clock()
        if self._asked is None or now - self._asked[0] >= _BELIEVED_S:
            exist = False
            if self.database is not None:
                with self.database.reading() as session:
                    exist = bool(keys.all_keys(session))
            self._asked = (now, exist)
        return self._asked[1]

    def _take(self, key: ApiKey) -> None:
        wait = self.rates.take(key.id, key.rate_per_minute) if self.rates is not None else 0.0
        if wait:
            raise TooManyRequestsError(
                f"this key may call {key.rate_per_minute} times a minute; repeat after the time in Retry-After",
                retry_after_s=int(wait) + 1,
            )


def _is_local(host: str, own: str) -> bool:
    """Whether the header `Host` names this machine. `own` is the address that the server listens on.

    A name without a dot is one of the local network or of a container, which no foreign page can own.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
        single = bool(name) and not {".", ":"} & set(name)
        return single or name == own.lower() or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
