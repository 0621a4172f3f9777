"""Alerts to an HTTP webhook: a POST of the JSON body, over HTTPS unless told otherwise."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from msgspec import Meta

from defender_detect import __version__
from defender_detect.alerts.queue import GIVE_UP_AFTER
from defender_detect.alerts.target import Publish, Target
from defender_detect.errors import AlertError, AlertRefused
from defender_detect.evaluate.shapes import alert_body
from device_defender.wording import SECRET, that

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

TIMEOUT = 10.0  # seconds for each step: connecting, sending, and the first line of the answer
TRY_AGAIN = {408, 425, 429}  # beside 5xx; every other refusal is about the alert or the URL, and stays
LONGEST = 1024  # characters of a URL
HEADER_NAME = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$(?!\n)"
HEADER_VALUE = r"^[ -~]*$(?!\n)"  # ASCII, in one line
HEADERS = {"Content-Type": "application/json", "User-Agent": f"amazon-defender-detect/{__version__}"}


def is_url(url: str) -> bool:
    """Tell whether a webhook can be at a URL; its credentials belong in a header."""
    try:
        parts = urlsplit(url)
        port = parts.port  # raises ValueError, too
    except ValueError:
        return False
    is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0
    return is_web and url.isascii() and url.isprintable() and " " not in url and parts.username is None


class Webhook(Target, frozen=True):
    """An HTTP POST; any status of 2xx means taken."""

    url: Annotated[
        str,
        SECRET,
        Meta(min_length=1, max_length=LONGEST, description="Where to post to. Not logged beyond its host."),
        that(is_url, "an http or https URL in ASCII with a host name, and without spaces and credentials"),
    ]
    headers: Annotated[
        dict[
            Annotated[str, Meta(pattern=HEADER_NAME), that(None, "a header's name, in ASCII and without spaces")],
            Annotated[str, Meta(pattern=HEADER_VALUE), that(None, "one line of ASCII")],
        ],
        SECRET,
        Meta(description="Further headers, with credentials for instance. Their values are never logged."),
    ] = {}

    def open(self, publish: Publish) -> WebhookSink:
        """Return what posts."""
        return WebhookSink(self.url, self.headers)


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
        """Prepare to post to `url` with further `headers`."""
        self.name = f"the webhook at {origin_of(url)}"  # and not the rest of the URL, which is often the secret
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


def origin_of(url: str) -> str:
    """Return the scheme and host of a webhook's URL, which may go into the log."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def refusal(status: int, retry_after: str | None) -> AlertError:
    """Return the error for a status that is not 2xx."""
    if status < 500 and status not in TRY_AGAIN:
        return AlertRefused(f"the answer was {status}")
    wait = float(retry_after) if retry_after and retry_after.isdecimal() else None
    return AlertError(f"the answer was {status}", wait)
