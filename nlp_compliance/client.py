"""A small client of the endpoint, on the standard library alone.

client = Client("https://compliance.example", api_key="nc_…")
report = client.score("政府兜底，快来投保")
upload = client.submit(Path("海报.jpg").read_bytes(), "海报.jpg", idempotency_key="poster-17")
result = client.wait(upload.id)
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import http.client
import json
import re
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from email.message import Message
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import TypeAdapter

from nlp_compliance.errors import InputError, NlpComplianceError
from nlp_compliance.records import Document, Report

T = TypeVar("T")
_REPORT = TypeAdapter(Report)
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_LONGEST_KEY = 128
_BUSY = (429, 503)
_LONGEST_PAUSE_S = 60.0
_SIGNATURE_AGE_S = 300


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The library would show the key to whatever address an answer names, and turn POST into GET on the way."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class RemoteError(NlpComplianceError):
    """The server refused: its own `code` and message, the HTTP status (0 where no answer came), the request id."""

    def __init__(self, message: str, *, code: str, status: int, request_id: str = "", retry_after_s: float = 0) -> None:
        super().__init__(message)
        self.code, self.status, self.request_id, self.retry_after_s = code, status, request_id, retry_after_s


@dataclass(frozen=True, slots=True)
class Upload:
    """Where an upload stands: `status` is queued, running, done or failed."""

    id: str
    name: str
    status: str
    documents: int
    failures: int

    @property
    def finished(self) -> bool:
        return self.status in ("done", "failed")


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One judged text of an upload. `verdict` is pass, return or block once the reviewers are done, else None."""

    ordinal: int
    name: str
    text_sha256: str
    report: Report
    state: str
    verdict: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """A finished upload; `unread` names what could not be read as (name, code, message)."""

    upload: Upload
    documents: tuple[Reviewed, ...]
    unread: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Client:
    """Calls one server. Times are in seconds; a busy server is asked again up to `retries` times.

    Every method raises RemoteError for what the server refuses or where no answer comes that can be understood, and
    InputError for what cannot be sent: a base URL, key or idempotency key that is none. So does a negative number of
    retries, or no time to wait, when the client is made.
    """

    base_url: str
    api_key: str = ""
    timeout_s: float = 60.0
    retries: int = 3
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if not _is_address(self.base_url):
            raise InputError(f"base_url is {self.base_url!r}; give an address such as https://compliance.example")
        if self.api_key and not _visible(self.api_key):
            raise InputError("api_key holds blanks or characters beyond ASCII; give the key as `keys add` printed it")
        if self.retries < 0 or self.timeout_s <= 0:
            raise InputError(
                f"retries is {self.retries} and timeout_s {self.timeout_s}; retries is 0 or more, timeout_s above 0"
            )

    def score(self, text: str, *, id: str = "", published: date | None = None) -> Report:
        """The report of one text."""
        return self._json("POST", "/v1/score", _report, _item(text, id, published))

    def score_many(self, documents: Sequence[Document]) -> list[Report | RemoteError]:
        """A report or an error for every document, in order. At most `max_batch_texts` of the server in one call."""
        items = [_item(d.text, d.id, d.source.published) for d in documents]
        return self._json("POST", "/v1/score/batch", _outcomes, {"items": items})

    def submit(self, data: bytes, name: str, *, idempotency_key: str | None = None) -> Upload:
        """Sends a file; with an idempotency key the call can be repeated safely, so it is also tried again by itself."""
        boundary = secrets.token_hex(16)
        filename = re.sub(r"[\r\n]+", " ", name).replace("\\", "\\\\").replace('"', '\\"')
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode(errors="replace") + data + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if idempotency_key:
            if not _visible(idempotency_key) or len(idempotency_key) > _LONGEST_KEY:
                raise InputError(
                    f"the idempotency key is {idempotency_key[:_LONGEST_KEY]!r}; allowed are 1 to {_LONGEST_KEY} "
                    "printable ASCII characters without blanks; give a UUID, for example"
                )
            headers["Idempotency-Key"] = idempotency_key
        return _understood(self._call("POST", "/v1/documents", body, headers), _upload)

    def status(self, upload_id: str) -> Upload:
        return self._json("GET", _path(upload_id), _upload)

    def result(self, upload_id: str) -> Result:
        """Raises RemoteError with code `not_ready` while the upload is still being judged."""
        return self._json("GET", f"{_path(upload_id)}/result", _result)

    def wait(self, upload_id: str, *, timeout_s: float = 600.0, pause_s: float = 1.0) -> Result:
        """The result as soon as it is there. Raises TimeoutError after `timeout_s`."""
        end = time.monotonic() + timeout_s
        while not self.status(upload_id).finished:
            if time.monotonic() > end:
                raise TimeoutError(f"upload {upload_id} is not finished after {timeout_s} s")
            self.sleep(pause_s)
        return self.result(upload_id)

    def labels(self) -> list[dict[str, Any]]:
        return self._json("GET", "/v1/labels", lambda answer: list(answer["labels"]))

    def rules(self) -> list[dict[str, Any]]:
        return self._json("GET", "/v1/rules", lambda answer: list(answer["rules"]))

    def _json(self, method: str, path: str, make: Callable[[Any], T], content: object | None = None) -> T:
        body = None if content is None else json.dumps(content).encode()
        return _understood(self._call(method, path, body, {"Content-Type": "application/json"}), make)

    def _call(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        for attempt in range(self.retries + 1):
            try:
                return self._once(method, path, body, headers)
            except RemoteError as error:
                if error.status not in _BUSY or attempt == self.retries:
                    raise
                self.sleep(min(_LONGEST_PAUSE_S, error.retry_after_s or 2.0**attempt))
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        own = dict(headers) | ({"Authorization": f"Bearer {self.api_key}"} if self.api_key else {})
        request = urllib.request.Request(self.base_url.rstrip("/") + path, body, own, method=method)  # noqa: S310
        try:
            status, sent, data = _exchanged(request, self.timeout_s)
        except (OSError, http.client.HTTPException) as error:
            raise RemoteError(f"no answer from {self.base_url}: {error}", code="no_answer", status=0) from error
        if 200 <= status < 300:
            return data
        if 300 <= status < 400:
            place = sent.get("Location", "another address")
            said = f"{self.base_url} redirects to {place}; give the address that answers itself as base_url"
            raise RemoteError(said, code=f"http_{status}", status=status)
        raise _refusal(status, data, sent.get("Retry-After", ""))


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    """Made once, as the library's own: it looks for proxies and reads certificates."""
    return urllib.request.build_opener(_NoRedirect)


def _exchanged(request: urllib.request.Request, timeout_s: float) -> tuple[int, Message, bytes]:
    """(status, headers, body) of the answer, whatever its status. Raises OSError or HTTPException where it is cut off."""
    try:
        answer = _opener().open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.headers, answer.read()


def _is_address(given: str) -> bool:
    try:
        found = urlsplit(given)
        # Asked for, a port that is no number raises ValueError.
        return found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0 and _visible(given)
    except ValueError:
        return False


def _visible(given: str) -> bool:
    return bool(_VISIBLE.fullmatch(given))


def _path(upload_id: str) -> str:
    return f"/v1/documents/{quote(upload_id, safe='', errors='replace')}"


def _understood(body: bytes, make: Callable[[Any], T]) -> T:
    try:
        return make(json.loads(body))
    except (ValueError, KeyError, TypeError) as error:
        said = "the answer is none of this interface; check base_url and what stands between"
        raise RemoteError(said, code="answer_invalid", status=200) from error


def _item(text: str, identifier: str, published: date | None) -> dict[str, Any]:
    item: dict[str, Any] = {"text": text, "id": identifier}
    return item | ({"published": published.isoformat()} if published else {})


def _report(row: Mapping[str, Any]) -> Report:
    return _REPORT.validate_python(row)


def _outcomes(answer: Mapping[str, Any]) -> list[Report | RemoteError]:
    return [_outcome(row) for row in answer["results"]]


def _outcome(row: Mapping[str, Any]) -> Report | RemoteError:
    if "error" in row:
        said = row["error"]
        return RemoteError(said["message"], code=said["code"], status=200, request_id=said.get("request_id", ""))
    return _report(row)


def _upload(row: Mapping[str, Any]) -> Upload:
    return Upload(row["id"], row["name"], row["status"], row["documents"], row["failures"])


def _result(row: Mapping[str, Any]) -> Result:
    documents = tuple(
        Reviewed(
            d["ordinal"],
            d["name"],
            d["text_sha256"],
            _report(d["report"]),
            d["review"]["state"],
            d["review"]["verdict"],
        )
        for d in row["results"]
    )
    return Result(_upload(row), documents, tuple((u["name"], u["code"], u["message"]) for u in row["unread"]))


def _refusal(status: int, body: bytes, retry_after: str) -> RemoteError:
    wait = float(retry_after) if retry_after.isdecimal() else 0.0
    try:
        said = json.loads(body)["error"]
        return RemoteError(
            said["message"], code=said["code"], status=status, request_id=said["request_id"], retry_after_s=wait
        )
    except (ValueError, KeyError, TypeError):
        return RemoteError(f"HTTP {status}", code=f"http_{status}", status=status, retry_after_s=wait)


def read_webhook(signing_secret: str, headers: Mapping[str, str], body: bytes, *, at: float | None = None) -> Any:
    """The message of a webhook call, if it is genuine and not older than five minutes. Raises InputError otherwise.

    `at` is the time of arrival in seconds since 1970, now where it is None.
    """
    own = {name.lower(): value for name, value in headers.items()}
    try:
        identifier, timestamp = own["webhook-id"], own["webhook-timestamp"]
        age = abs((time.time() if at is None else at) - int(timestamp))
        key = base64.b64decode(signing_secret.removeprefix("whsec_"))
        signed = f"{identifier}.{timestamp}.".encode() + body
        right = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        genuine = any(hmac.compare_digest(s.encode(), f"v1,{right}".encode()) for s in own["webhook-signature"].split())
    except (KeyError, ValueError, binascii.Error) as error:
        raise InputError("the webhook call is not signed as expected") from error
    if not genuine or age > _SIGNATURE_AGE_S:
        raise InputError("the webhook call is forged or too old")
    return json.loads(body)
