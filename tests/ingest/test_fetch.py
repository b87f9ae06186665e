"""Fetching by address: off by default, one host, never a private network, whatever a redirect or a resolver says."""

import pytest

from nlp_compliance.errors import InputError, LimitExceededError, UnreadableFileError
from nlp_compliance.ingest.fetch import fetch, is_address
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.settings import Settings

PUBLIC = "203.205.1.1"
ARTICLE = "https://mp.weixin.qq.com/s/abc?x=1"
LIMITS = Limits.of(Settings(max_upload_bytes=1_000))


class Page:
    def __init__(self, body: bytes = b"<html>", status: int = 200, location: str | None = None) -> None:
        self.status, self._body, self._location = status, body, location

    def getheader(self, name: str) -> str | None:
        return self._location if name == "Location" else None

    def read(self, amount: int) -> bytes:
        out, self._body = self._body[:amount], self._body[amount:]
        return out


def get(url: str, *pages: Page, addresses: tuple[str, ...] = (PUBLIC,), allowed: bool = True) -> tuple[bytes, list]:
    waiting, asked = list(pages), []

    def ask(address: str, path: str, seconds: float) -> Page:
        asked.append((address, path))
        return waiting.pop(0)

    return fetch(url, LIMITS, allowed=allowed, ask=ask, resolve=lambda host: list(addresses)), asked


def test_it_is_off_unless_switched_on():
    assert Settings().fetch is False
    with pytest.raises(InputError, match="switched off"):
        get(ARTICLE, Page(), allowed=False)


def test_an_article_and_a_redirect_on_the_same_host():
    assert get(ARTICLE, Page(b"<html>1")) == (b"<html>1", [(PUBLIC, "/s/abc?x=1")])
    body, asked = get(ARTICLE, Page(status=302, location="/s/new"), Page(b"<html>2"))
    assert body == b"<html>2" and asked[1] == (PUBLIC, "/s/new")


@pytest.mark.parametrize(
    "url",
    [
        "http://mp.weixin.qq.com/s/a",
        "https://mp.weixin.qq.com.evil.example/s/a",
        "https://mp.weixin.qq.com@10.0.0.1/s/a",
        "https://user@mp.weixin.qq.com/s/a",
        "https://mp.weixin.qq.com:8443/s/a",
        "https://weixin.qq.com/s/a",
        "https://127.0.0.1/",
        "https://[::1",
        "file:///etc/passwd",
    ],
)
def test_other_addresses_are_refused_at_once_and_behind_a_redirect(url):
    with pytest.raises(InputError, match=r"only addresses of https://mp\.weixin\.qq\.com"):
        get(url)
    if url != "https://[::1":
        with pytest.raises(InputError, match="only addresses of"):
            get(ARTICLE, Page(status=302, location=url))


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "::1", "fd00::1", "0.0.0.0"]
)
def test_a_name_that_leads_to_a_private_address_is_refused(address):
    with pytest.raises(InputError, match="no public one"):
        get(ARTICLE, Page(), addresses=(PUBLIC, address))


def test_limits_and_errors():
    with pytest.raises(LimitExceededError, match="allowed: 1000"):
        get(ARTICLE, Page(b"x" * 2_000))
    with pytest.raises(UnreadableFileError, match="404"):
        get(ARTICLE, Page(status=404))
    with pytest.raises(UnreadableFileError, match="redirects"):
        get(ARTICLE, *(Page(status=302, location="/again") for _ in range(9)))


def test_what_counts_as_an_address():
    assert is_address(ARTICLE) and not is_address("https://a.example 政府兜底") and not is_address("政府兜底")
