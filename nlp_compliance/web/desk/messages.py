"""Sends the webhook messages that wait in the database."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nlp_compliance.store import webhooks
from nlp_compliance.store.database import Database
from nlp_compliance.store.webhooks import Message

_TIMEOUT_S = 10


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A platform's address is what the administrator entered, not where that address points to."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


# No proxy of the environment and no other protocols: one POST to one address.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


@dataclass(frozen=True, slots=True)
class Messenger:
    """Sends messages one after the other; `seen` is told the outcome, `sent` or `refused`."""

    database: Database
    seen: Callable[[str], None]

    def send_all(self) -> int:
        """The number of messages that were tried."""
        tried = 0
        while True:
            with self.database.transaction() as session:
                message = webhooks.take(session)
            if message is None:
                return tried
            delivered, answer = post(message)
            with self.database.transaction() as session:
                webhooks.settle(session, message.id, delivered=delivered, answer=answer)
            self.seen("sent" if delivered else "refused")
            tried += 1


def post(message: Message) -> tuple[bool, str]:
    """(whether a 2xx answer came, what came). Never raises for the platform's sake."""
    request = urllib.request.Request(message.url, message.body, message.headers, method="POST")  # noqa: S310
    try:
        with _OPENER.open(request, timeout=_TIMEOUT_S) as answer:
            return 200 <= answer.status < 300, f"HTTP {answer.status}"
    except urllib.error.HTTPError as error:
        error.close()
        return False, f"HTTP {error.code}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return False, f"{type(error).__name__}: {error}"
