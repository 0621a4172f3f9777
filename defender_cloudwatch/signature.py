"""AWS Signature Version 4, for a request to one path with a body.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html. By hand, because botocore takes 23 MB for it.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Mapping
from typing import NamedTuple

ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    """AWS credentials; `expires` is in seconds since the epoch, None for those that do not expire."""

    key_id: str
    secret: str
    token: str = ""
    expires: float | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.key_id!r}, ...)"


def sign(
    headers: Mapping[str, str],
    body: bytes,
    credentials: Credentials,
    service: str,
    region: str,
    now: datetime.datetime,
    path: str = "/",
    method: str = "POST",
) -> dict[str, str]:
    """Return the headers of the signed request; `headers` are those to sign, in lower case, `host` among them.

    `now` is in UTC; AWS takes it if it is at most five minutes wrong.
    """
    day = f"{now.year:04}{now.month:02}{now.day:02}"
    stamp = f"{day}T{now.hour:02}{now.minute:02}{now.second:02}Z"
    signed = {**headers, "x-amz-date": stamp, **_token(credentials)}
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in sorted(signed))
    request = "\n".join([method, path, "", lines, names, hashlib.sha256(body).hexdigest()])
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join([ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{credentials.secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    value = f"{ALGORITHM} Credential={credentials.key_id}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    return {**signed, "authorization": value}


def _token(credentials: Credentials) -> dict[str, str]:
    return {"x-amz-security-token": credentials.token} if credentials.token else {}
