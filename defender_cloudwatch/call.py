"""A call: an operation of CloudWatch or CloudWatch Logs, in AWS's JSON protocol, and what its refusals mean."""

from __future__ import annotations

import datetime
import functools
import http.client
import json
import re
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from defender_cloudwatch.connection import DIRECT, Answer, Trust, Way, connect, exchange, trusting, was_closed
from defender_cloudwatch.credentials import Keeper
from defender_cloudwatch.errors import CallFailed
from defender_cloudwatch.signature import sign

WORTH_COMPRESSING = 2_000  # bytes
GZIP = 16 + zlib.MAX_WBITS  # zlib's number for the format of gzip
COMPRESSION = 1  # of 1 to 9: log lines become a third at once, and a quarter at ten times the cost
PASSING = (
    "Throttl",
    "TooManyRequests",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "InternalFailure",
    "InternalError",
)
CLOCK = ("RequestTimeTooSkewed", "RequestExpired", "Signature expired", "Signature not yet current", "not yet current")
TOKENS = (
    "ExpiredToken",
    "UnrecognizedClient",
    "InvalidClientTokenId",
    "InvalidSignature",
    "MissingAuthenticationToken",
)
LARGEST_MESSAGE = 300  # characters of AWS's own words
DENIED = re.compile(r"not authorized to perform: (\S+)(?: on resource: (\S+))?")


class Service(NamedTuple):
    """One of AWS's services: its name in hosts and signatures, and how its operations are called."""

    name: str
    target: str
    version: str


METRICS = Service("monitoring", "GraniteServiceVersion20100801", "1.0")
LOGS = Service("logs", "Logs_20140328", "1.1")


class Api:
    """Calls operations of a region; `endpoint` is another place for all services, an emulator's for instance.

    A connection is kept for the next call until `rest`, because most of what a call takes is its TLS; used by one
    thread.
    """

    def __init__(
        self,
        region: str,
        keeper: Keeper,
        way: Way = DIRECT,
        endpoint: str | None = None,
        trust: Trust | None = None,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.timezone.utc),
    ) -> None:
        self._region, self._keeper, self._way, self._endpoint, self._now = region, keeper, way, endpoint, now
        self._trust = trust or functools.lru_cache(lambda: trusting(way))
        self._open: tuple[str, http.client.HTTPConnection] | None = None  # and the URL that it leads to

    def url(self, service: Service) -> str:
        """Return where a service is."""
        return self._endpoint or f"https://{service.name}.{self._region}.{_domain(self._region)}"

    def rest(self) -> None:
        """Close the connection; the next call makes a new one."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def call(self, service: Service, operation: str, content: dict[str, Any]) -> dict[str, Any]:
        """Call an operation and return its answer; raises CallFailed, or CredentialsError where there are none."""
        url = self.url(service)
        body = msgspec.json.encode(content)
        headers = {
            "host": urlsplit(url).netloc,
            "content-type": f"application/x-amz-json-{service.version}",
            "x-amz-target": f"{service.target}.{operation}",
        }
        if len(body) > WORTH_COMPRESSING:
            body = _compressed(body)
            headers["content-encoding"] = "gzip"
        signed = sign(headers, body, self._keeper.get(), service.name, self._region, self._now())
        try:
            answer = exchange(self._connection(url), "POST", f"{url}/", signed, body)
        except (OSError, http.client.HTTPException) as error:
            self.rest()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise CallFailed(
                f"{urlsplit(url).netloc} cannot be reached: {reason}", "Unreachable", passing=True
            ) from error
        if answer.status == http.client.OK:
            return _document(answer)
        raise self._failure(operation, answer)

    def _connection(self, url: str) -> http.client.HTTPConnection:
        if self._open is None or self._open[0] != url or was_closed(self._open[1]):
            self.rest()
            self._open = url, connect(url, self._way, trust=self._trust)
        return self._open[1]

    def _failure(self, operation: str, answer: Answer) -> CallFailed:
        document = _document(answer, lenient=True)
        code = str(document.get("__type") or document.get("code") or answer.status).rpartition("#")[2].partition(":")[0]
        said = json.dumps(str(document.get("message") or document.get("Message") or ""))[1:-1][:LARGEST_MESSAGE]
        if any(word in f"{code} {said}" for word in CLOCK):
            return CallFailed(
                f"AWS refused {operation}: this device's clock is wrong ({said}); set it", code, passing=True
            )
        if any(word in code for word in TOKENS):
            self._keeper.forget()
            return CallFailed(f"AWS refused the credentials for {operation} ({code}): {said}", code, passing=True)
        if "AccessDenied" in code:
            return CallFailed(_explain_denial(operation, said), code)
        passing = answer.status >= http.client.INTERNAL_SERVER_ERROR or any(word in code for word in PASSING)
        return CallFailed(
            f"{operation} failed ({code}): {said}" if said else f"{operation} failed ({code})", code, passing
        )


def _explain_denial(operation: str, said: str) -> str:
    found = DENIED.search(said)
    if found is None:
        return f"AWS denied {operation}: {said}"
    where = f" on {found[2]}" if found[2] else ""
    return f"AWS denied {operation}: the role's policy must allow {found[1]}{where}"


def _document(answer: Answer, lenient: bool = False) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(answer.body or b"{}")
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        if lenient:
            return {}
        raise CallFailed("AWS answered with something that is not JSON", "Answer", passing=True) from error
    return found if isinstance(found, dict) else {}


def _compressed(body: bytes) -> bytes:
    compressor = zlib.compressobj(COMPRESSION, wbits=GZIP)
    return compressor.compress(body) + compressor.flush()


def _domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
