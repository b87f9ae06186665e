"""Fetches one WeChat article by its address. Off unless the setting `fetch` is on; only https://mp.weixin.qq.com.

The name is resolved once, every address must be a public one, and the connection goes to that very address, so that
neither a redirect nor a changed answer of the name service leads into a private network.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from nlp_compliance.errors import InputError, LimitExceededError, UnreadableFileError
from nlp_compliance.ingest.limits import Limits

HOST = "mp.weixin.qq.com"
_PORT = 443
_REDIRECTS = 3
_CHUNK = 1 << 16
# The server answers programs that do not say what they are with an empty page.
_HEADERS = {"User-Agent": "Mozilla/5.0 (compatible; nlp-compliance)", "Accept": "text/html"}


class Answer(Protocol):
    """What is used of `http.client.HTTPResponse`."""

    status: int

    def getheader(self, name: str, /) -> str | None: ...

    def read(self, amount: int, /) -> bytes: ...


# Asks one public address for one path, within so many seconds.
Ask = Callable[[str, str, float], Answer]
Resolve = Callable[[str], list[str]]


def is_address(text: str) -> bool:
    """Whether `text` is nothing but a web address."""
    return text.startswith(("https://", "http://")) and text.isascii() and not any(c.isspace() for c in text)


def fetch(url: str, limits: Limits, *, allowed: bool, ask: Ask | None = None, resolve: Resolve | None = None) -> bytes:
    """The page at `url`. Raises InputError for an address that is not allowed, UnreadableFileError without an answer."""
    if not allowed:
        raise InputError(f"{url}: fetching by address is switched off; save the page and give the file, or set fetch")
    until = time.monotonic() + limits.max_seconds
    try:
        for _ in range(_REDIRECTS + 1):
            path = _checked(url)
            address = _public(HOST, resolve or _resolved)
            answer = (ask or _asked)(address, path, max(1.0, until - time.monotonic()))
            location = answer.getheader("Location")
            if answer.status not in (301, 302, 303, 307, 308) or not location:
                return _body(answer, url, limits, until)
            url = urljoin(url, location)
    except (OSError, http.client.HTTPException) as error:
        raise UnreadableFileError(f"{url}: no answer ({error}); save the page and give the file") from error
    raise UnreadableFileError(f"{url}: more than {_REDIRECTS} redirects; save the page and give the file")


def _checked(url: str) -> str:
    """Path and query of an allowed address."""
    try:
        parts = urlsplit(url)
        right = parts.scheme == "https" and parts.netloc.lower() in (HOST, f"{HOST}:{_PORT}")
    except ValueError:
        right = False
    if not right:
        raise InputError(f"{url}: only addresses of https://{HOST} are fetched; save the page and give the file")
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _resolved(host: str) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, _PORT, type=socket.SOCK_STREAM)]


def _public(host: str, resolve: Resolve) -> str:
    addresses = resolve(host)
    hidden = [a for a in addresses if not ipaddress.ip_address(a.partition("%")[0]).is_global]
    if hidden or not addresses:
        raise InputError(
            f"{host} leads to {', '.join(hidden) or 'no address'}, which is no public one; nothing is fetched"
        )
    return addresses[0]


def _asked(address: str, path: str, seconds: float) -> Answer:
    connection = _Pinned(address, seconds)
    connection.request("GET", path, headers=_HEADERS)
    return connection.getresponse()


class _Pinned(http.client.HTTPSConnection):
    """A connection to one address that must prove to be `HOST`."""

    def __init__(self, address: str, seconds: float) -> None:
        super().__init__(HOST, _PORT, timeout=seconds)
        self._address = address
        self._seconds = seconds

    def connect(self) -> None:
        plain = socket.create_connection((self._address, _PORT), self._seconds)
        self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=HOST)


def _body(answer: Answer, url: str, limits: Limits, until: float) -> bytes:
    if answer.status != 200:
        raise UnreadableFileError(f"{url}: the server answers {answer.status}; save the page and give the file")
    data = b""
    while chunk := answer.read(_CHUNK):
        data += chunk
        limits.check(url, len(data), limits.max_bytes, "size in bytes")
        if time.monotonic() > until:
            raise LimitExceededError(f"{url}: takes longer than {limits.max_seconds} s (max_read_seconds)")
    return data
