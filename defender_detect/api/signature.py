"""AWS Signature Version 4: whether a request was signed with one of the keys that are known."""

from __future__ import annotations

import hashlib
import hmac
import re
import urllib.parse
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import NamedTuple

from defender_detect.api.faults import Fault, not_signed

MOST_SKEW = 300.0  # seconds between a request's time and ours; AWS's
STAMP = "%Y%m%dT%H%M%SZ"
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/\s,]+)/(?P<date>\d{8})/(?P<region>[^/\s,]+)/(?P<service>[^/\s,]+)"
    r"/aws4_request,\s*SignedHeaders=(?P<names>[a-z0-9;-]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)


class Request(NamedTuple):
    """What was asked, as it came: the path and the query not decoded, the headers in small letters."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def verify(request: Request, secrets: Mapping[str, str], now: float) -> str:
    """Return the access key that signed a request; raise a Fault if none did, or too long ago."""
    found = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise not_signed("the signature is missing: configure the access key that detect.api.keys has")
    stamp, names = request.headers.get("x-amz-date", ""), found["names"].split(";")
    if not is_recent(stamp, found["date"], now):
        raise not_signed(f"the signature must be of a time within {MOST_SKEW:g} s of this machine's")
    if "host" not in names or "x-amz-date" not in names:
        raise not_signed("the signature must be of host and x-amz-date as well")
    secret = secrets.get(found["key"])
    if secret is None:
        raise Fault(403, "UnrecognizedClientException", "the access key is not one of detect.api.keys")
    scope = "/".join([found["date"], found["region"], found["service"], "aws4_request"])
    signed = sign(canonical(request, names), stamp, scope, secret)
    if not hmac.compare_digest(signed, found["signature"]):
        raise not_signed("the signature is not the one of this request with this access key's secret")
    return found["key"]


def is_recent(stamp: str, date: str, now: float) -> bool:
    """Whether a request's time is near ours, and its scope of the same day."""
    try:
        when = datetime.strptime(stamp, STAMP).replace(tzinfo=timezone.utc)
    except ValueError:
        return False
    return stamp.startswith(date) and abs(when.timestamp() - now) <= MOST_SKEW


def canonical(request: Request, names: list[str]) -> str:
    """Return the text of a request that is signed."""
    pairs = [each.partition("=")[::2] for each in request.query.split("&") if each]
    query = "&".join(f"{key}={value}" for key, value in sorted((recode(k), recode(v)) for k, v in pairs))
    headers = [f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names]
    path = urllib.parse.quote(request.path, safe="/-_.~")  # once more, as all services but S3 have it
    digest = hashlib.sha256(request.body).hexdigest()
    return "\n".join([request.method, path, query, *headers, "", ";".join(names), digest])


def recode(text: str) -> str:
    """Return a part of a query in the one form that is signed."""
    return urllib.parse.quote(urllib.parse.unquote_plus(text), safe="-_.~")


def sign(text: str, stamp: str, scope: str, secret: str) -> str:
    """Return the signature of a text."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    key = b"AWS4" + secret.encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return key.hex()
