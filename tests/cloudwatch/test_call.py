"""An operation is called as AWS's JSON protocol has it, and a refusal becomes a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from defender_cloudwatch.call import LOGS, METRICS, Api
from defender_cloudwatch.credentials import Keeper
from defender_cloudwatch.errors import CallFailed
from defender_cloudwatch.signature import Credentials
from tests.cloudwatch.doubles import Double


class Given:
    """A source of credentials that counts how often it is asked."""

    asked = 0

    def __call__(self) -> Credentials:
        self.asked += 1
        return Credentials("AKID", "secret", "token", 4e9)


@pytest.fixture
def aws() -> Iterator[Double]:
    with Double(lambda request, client: (200, {"ok": True})) as aws:
        yield aws


@pytest.fixture
def given() -> Given:
    return Given()


@pytest.fixture
def api(aws: Double, given: Given) -> Api:
    return Api("eu-west-1", Keeper(given), endpoint=f"http://127.0.0.1:{aws.port}")


def test_a_call_is_json_with_its_target_and_a_signature(aws: Double, api: Api) -> None:
    assert {"ok": True} == api.call(LOGS, "PutLogEvents", {"text": "caf\xe9 \u20ac"})
    request = aws.requests[0]
    assert "Logs_20140328.PutLogEvents" == request.headers["x-amz-target"]
    assert "application/x-amz-json-1.1" == request.headers["content-type"]
    assert "/eu-west-1/logs/aws4_request" in request.headers["authorization"]
    assert "token" == request.headers["x-amz-security-token"]
    assert {"text": "caf\xe9 \u20ac"} == request.document


def test_a_large_call_is_compressed(aws: Double, api: Api) -> None:
    api.call(METRICS, "PutMetricData", {"text": "x" * 10_000})
    assert len(aws.requests[0].body) < 1_000
    assert {"text": "x" * 10_000} == aws.requests[0].document


DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/r/c is not authorized to perform: logs:PutLogEvents on resource: "
    "arn:aws:logs:eu-west-1:123456789012:log-group:/system/rpi:log-stream:app because no identity-based policy allows"
)


@pytest.mark.parametrize(
    ("status", "document", "says", "passing"),
    [
        (
            400,
            {"__type": "AccessDeniedException", "Message": DENIED},
            "must allow logs:PutLogEvents on arn:aws:logs:eu-west-1:123456789012:log-group:/system/rpi:log-stream:app",
            False,
        ),
        (400, {"__type": "AccessDeniedException"}, "AWS denied PutLogEvents", False),
        (
            400,
            {"__type": "InvalidSignatureException", "message": "Signature expired: 20261130T100000Z is now earlier"},
            "this device's clock is wrong",
            True,
        ),
        (
            400,
            {"__type": "InvalidSignatureException", "message": "Signature not yet current: 20261130T100000Z"},
            "this device's clock is wrong",
            True,
        ),
        (403, {"__type": "RequestTimeTooSkewed", "message": "differ too much"}, "this device's clock is wrong", True),
        (400, {"__type": "ThrottlingException", "message": "Rate exceeded"}, "Rate exceeded", True),
        (400, {"__type": "com.amazonaws.logs#ThrottlingException:http://a/"}, r"\(ThrottlingException\)", True),
        (429, {"__type": "TooManyRequestsException"}, "TooManyRequestsException", True),
        (500, {"__type": "InternalFailure"}, "InternalFailure", True),
        (503, b"<html>\nno", r"PutLogEvents failed \(503\)", True),
        (400, {"__type": "ExpiredTokenException", "message": "expired"}, "refused the credentials", True),
        (403, {"__type": "UnrecognizedClientException", "message": "invalid"}, "refused the credentials", True),
        (400, {"__type": "InvalidParameterException", "message": "a\nb"}, r"InvalidParameterException\): a\\nb", False),
        (400, [], r"\(400\)", False),
        (200, b"<html>", "not JSON", True),
    ],
)
def test_a_refusal_says_what_to_do(aws: Double, api: Api, status: int, document: Any, says: str, passing: bool) -> None:
    aws.answer = lambda request, client: (status, document)
    with pytest.raises(CallFailed, match=says) as caught:
        api.call(LOGS, "PutLogEvents", {})
    assert passing == caught.value.passing
    assert "\n" not in str(caught.value)


def test_a_clock_that_is_wrong_is_named_before_the_credentials(aws: Double, api: Api, given: Given) -> None:
    aws.answer = lambda request, client: (
        403,
        {"__type": "InvalidSignatureException", "message": "Signature expired: 1 is now earlier than 2"},
    )
    for _ in range(2):
        with pytest.raises(CallFailed, match="clock"):
            api.call(LOGS, "PutLogEvents", {})
    assert 1 == given.asked


def test_refused_credentials_are_asked_for_again(aws: Double, api: Api, given: Given) -> None:
    aws.answer = lambda request, client: (400, {"__type": "ExpiredTokenException"})
    with pytest.raises(CallFailed):
        api.call(LOGS, "PutLogEvents", {})
    aws.answer = lambda request, client: (200, {})
    api.call(LOGS, "PutLogEvents", {})
    assert 2 == given.asked


def test_nobody_there_may_pass(given: Given, free_port: int) -> None:
    api = Api("eu-west-1", Keeper(given), endpoint=f"http://127.0.0.1:{free_port}")
    with pytest.raises(CallFailed, match="cannot be reached: Connection refused") as caught:
        api.call(LOGS, "PutLogEvents", {})
    assert caught.value.passing


def test_a_connection_serves_until_it_rests(aws: Double, api: Api) -> None:
    for _ in range(2):
        api.call(LOGS, "PutLogEvents", {})
    api.rest()
    api.call(LOGS, "PutLogEvents", {})
    first, second, third = (request.connection for request in aws.requests)
    assert first == second != third


def test_a_connection_that_the_server_closed_is_made_again(aws: Double, api: Api) -> None:
    api.call(LOGS, "PutLogEvents", {})
    aws.hang_up()
    assert {"ok": True} == api.call(LOGS, "PutLogEvents", {})
