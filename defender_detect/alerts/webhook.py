"""Alerts to an HTTP webhook: a POST of the JSON body, over HTTPS unless told otherwise."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from defender_detect import __version__
from defender_detect.alerts.queue import GIVE_UP_AFTER
from defender_detect.errors import AlertError, AlertRefused, AlertSettingError
from defender_detect.evaluate.shapes import alert_body

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

TIMEOUT = 10.0  # seconds for each step: connecting, sending, and the first line of the answer
TRY_AGAIN = {408, 425, 429}  # beside 5xx; every other refusal is about the alert or the URL, and stays
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADERS = {"Content-Type": "application/json", "User-Agent": f"amazon-defender-detect/{__version__}"}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would make the POST a GET, which tells nobody anything."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Return no request, so that the answer is an error."""


class WebhookSink:
    """Posts alerts to a URL; any status of 2xx means that it was taken."""

    give_up_after = GIVE_UP_AFTER

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, timeout: float = TIMEOUT) -> None:
        """Prepare to post to `url` with further `headers`; raises AlertSettingError for what is no URL of a webhook."""
        origin = check_url(url)
        check_headers(headers or {})
        self.name = f"the webhook at {origin}"  # and not the rest of the URL, which is often the secret
        self._url, self._headers, self._timeout = url, {**HEADERS, **(headers or {})}, timeout
        self._opener = urllib.request.build_opener(_NoRedirect)

    def send(self, event: Event) -> None:
        """Post an alert."""
        body = json.dumps(alert_body(event)).encode()
        request = urllib.request.Request(self._url, body, self._headers, method="POST")  # noqa: S310 - http(s), checked
        try:
            with self._opener.open(request, timeout=self._timeout):
                return
        except urllib.error.HTTPError as error:
            with error:
                raise refusal(error.code, error.headers.get("Retry-After")) from None
        except urllib.error.URLError as error:
            raise AlertError(f"no connection: {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:  # a timeout while waiting for the answer, or no HTTP
            raise AlertError(f"no answer: {str(error) or type(error).__name__}") from error


def check_url(url: str) -> str:
    """Return the scheme and host of a webhook's URL, which may go into the log; raises AlertSettingError."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise AlertSettingError(f"a webhook must be an http or https URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not (url.isascii() and url.isprintable()):
        raise AlertSettingError("a webhook must be an http or https URL in ASCII with a host name")
    if parts.username is not None or " " in url:
        raise AlertSettingError("a webhook's URL must be without spaces and credentials: these belong into a header")
    return f"{parts.scheme}://{parts.hostname}{port}"


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise AlertSettingError for a header that cannot be sent; its value may be secret and is not shown."""
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise AlertSettingError(f"a webhook's header must be one line of ASCII, which {name[:40]!a} is not")


def refusal(status: int, retry_after: str | None) -> AlertError:
    """Return the error for a status that is not 2xx."""
    if status < 500 and status not in TRY_AGAIN:
        return AlertRefused(f"the answer was {status}")
    wait = float(retry_after) if retry_after and retry_after.isdecimal() else None
    return AlertError(f"the answer was {status}", wait)
