"""Requests are signed as botocore signs them."""

from __future__ import annotations

import datetime
import random
import string
from unittest import mock

import pytest

from defender_cloudwatch.signature import Credentials, sign

auth = pytest.importorskip("botocore.auth")
awsrequest = pytest.importorskip("botocore.awsrequest")
credentials = pytest.importorskip("botocore.credentials")

REQUESTS = 500


def signed_by_botocore(
    headers: dict[str, str], body: bytes, given: Credentials, service: str, region: str, now: datetime.datetime
) -> str:
    """The authorization header that botocore makes, at a time of the test's."""
    plain = {name: value for name, value in headers.items() if name != "host"}
    request = awsrequest.AWSRequest("POST", f"https://{headers['host']}/", data=body, headers=plain)
    signer = auth.SigV4Auth(credentials.Credentials(given.key_id, given.secret, given.token or None), service, region)
    with mock.patch.object(auth, "get_current_datetime", return_value=now):
        signer.add_auth(request)
    return str(request.headers["Authorization"])


def test_five_hundred_random_requests_are_signed_as_botocore_signs_them() -> None:
    dice = random.Random(1)
    for _ in range(REQUESTS):
        body = dice.randbytes(dice.randrange(2000))
        now = datetime.datetime(
            2026, dice.randrange(1, 13), dice.randrange(1, 28), dice.randrange(24), dice.randrange(60)
        )
        secret = "".join(dice.choice(string.ascii_letters + "+/") for _ in range(40))
        token = "".join(dice.choice(string.ascii_letters + "+/=") for _ in range(dice.choice([0, 300])))
        service, region = dice.choice(
            [("logs", "eu-west-1"), ("monitoring", "us-east-2"), ("greengrass", "cn-north-1")]
        )
        headers = {
            "host": f"{service}.{region}.amazonaws.com",
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": "Logs_20140328.PutLogEvents",
            **({"content-encoding": "gzip"} if dice.random() < 0.5 else {}),
            **({"x-odd": "  two   words "} if dice.random() < 0.3 else {}),
        }
        given = Credentials("AKID", secret, token)
        expected = signed_by_botocore(headers, body, given, service, region, now)
        assert expected == sign(headers, body, given, service, region, now)["authorization"]


def test_the_secret_is_not_shown() -> None:
    assert "wJalr" not in repr(Credentials("AKID", "wJalr", "token"))
