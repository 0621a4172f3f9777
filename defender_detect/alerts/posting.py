"""Posting: an HTTP POST of JSON, for every target that takes one; over HTTPS unless told otherwise."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import urlsplit

from defender_detect import __version__
from defender_detect.errors import AlertError, AlertRefused

TIMEOUT = 10.0  # seconds for each step: connecting, sending, and the first line of the answer
WRONG_CREDENTIALS = {401, 403}  # tried again: whoever corrects a token wants what waits for it
TRY_AGAIN = {408, 425, 429, *WRONG_CREDENTIALS}  # beside 5xx; every other refusal is about the alert or the URL
LONGEST = 1024  # characters of a URL
URL_RULE = "an http or https URL in ASCII with a host name, and without spaces and credentials"
HEADERS = {"Content-Type": "application/json", "User-Agent": f"amazon-defender-detect/{__version__}"}


def is_url(url: str) -> bool:
    """Tell whether something can be posted to a URL; its credentials belong in a header."""
    try:
        parts = urlsplit(url)
        port = parts.port  # raises ValueError, too
    except ValueError:
        return False
    is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0
    return is_web and url.isascii() and url.isprintable() and " " not in url and parts.username is None


def is_header(value: str) -> bool:
    """Tell whether a text can be the value of a header."""
    return value.isascii() and value.isprintable()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would make the POST a GET, which tells nobody anything."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Return no request, so that the answer is an error."""


_opener = urllib.request.build_opener(_NoRedirect)


def post(url: str, body: object, headers: Mapping[str, str], timeout: float = TIMEOUT) -> None:
    """Post a body as JSON; any status of 2xx means that it was taken. Raises AlertRefused, or AlertError."""
    payload = json.dumps(body).encode()
    request = urllib.request.Request(url, payload, {**HEADERS, **headers}, method="POST")  # noqa: S310 - http(s), checked
    try:
        with _opener.open(request, timeout=timeout):
            return
    except urllib.error.HTTPError as error:
        with error:
            raise refusal(error.code, error.headers.get("Retry-After")) from None
    except urllib.error.URLError as error:
        raise AlertError(f"no connection: {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:  # a timeout while waiting for the answer, or no HTTP
        raise AlertError(f"no answer: {str(error) or type(error).__name__}") from error


def origin_of(url: str) -> str:
    """Return the scheme and host of a URL, which may go into the log; the rest is often a secret."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def refusal(status: int, retry_after: str | None) -> AlertError:
    """Return the error for a status that is not 2xx."""
    if status in WRONG_CREDENTIALS:
        return AlertError(f"the answer was {status}: the credentials are wrong, or may not do this")
    if status < 500 and status not in TRY_AGAIN:
        return AlertRefused(f"the answer was {status}")
    wait = float(retry_after) if retry_after and retry_after.isdecimal() else None
    return AlertError(f"the answer was {status}", wait)
