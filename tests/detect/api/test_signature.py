"""A request counts as signed only if the whole of it was, with a key that is known, within five minutes."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from defender_detect.api.faults import Fault
from defender_detect.api.signature import MOST_SKEW, Request, canonical, is_recent, recode, verify

# The key, the time and the signatures are those of AWS's test suite for Signature Version 4.
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # noqa: S105 - AWS's, for nothing
STAMP, NOW = "20150830T123600Z", datetime(2015, 8, 30, 12, 36, tzinfo=timezone.utc).timestamp()
VANILLA = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
POSTED = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
ORDERED = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"


def request(
    signature: str = VANILLA, method: str = "GET", query: str = "", body: bytes = b"", **changes: str
) -> Request:
    """A request of the suite; `changes` are of its headers."""
    scope = f"{KEY}/20150830/us-east-1/service/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={signature}"
    headers = {"host": "example.amazonaws.com", "x-amz-date": STAMP, "authorization": authorization}
    return Request(
        method, "/", query, {**headers, **{name.replace("_", "-"): each for name, each in changes.items()}}, body
    )


def refusal(asked: Request, now: float = NOW) -> tuple[int, str, str]:
    with pytest.raises(Fault) as refused:
        verify(asked, {KEY: SECRET, "OTHER": "x" * 40}, now)
    return refused.value.status, refused.value.name, str(refused.value)


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request(POSTED, "POST"),
        request(ORDERED, query="Param2=value2&Param1=value1"),
        request(host="  example.amazonaws.com  "),
    ],
    ids=["get", "post", "query in another order", "spaces"],
)
def test_what_awss_test_suite_signs_is_signed(asked: Request) -> None:
    assert KEY == verify(asked, {KEY: SECRET}, NOW)


@pytest.mark.parametrize(
    "asked",
    [
        request(method="POST"),
        request(query="a=b"),
        request(body=b"{}"),
        request(host="evil.example"),
        request(x_amz_date="20150830T123601Z"),
        request("0" * 64),
        request()._replace(path="/x"),
    ],
    ids=["method", "query", "body", "host", "date", "signature", "path"],
)
def test_what_was_changed_on_the_way_is_not_signed(asked: Request) -> None:
    status, name, said = refusal(asked)
    assert (403, "InvalidSignatureException") == (status, name)
    assert "is not the one of this request with this access key's secret" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    ("seconds", "is_taken"), [(0, True), (MOST_SKEW, True), (-MOST_SKEW, True), (301, False), (-301, False)]
)
def test_a_signature_is_good_for_five_minutes_either_way(seconds: float, is_taken: bool) -> None:
    assert is_taken == is_recent(STAMP, "20150830", NOW + seconds)
    if not is_taken:
        assert "within 300 s of this machine's" in refusal(request(), NOW + seconds)[2]


@pytest.mark.parametrize(
    "stamp", ["", "x", "20150831T123600Z", "2015-08-30T12:36:00Z", "20150230T000000Z", "\u0662" * 16]
)
def test_a_time_that_is_none_or_of_another_day_than_the_scope_is_not_recent(stamp: str) -> None:
    assert not is_recent(stamp, "20150830", NOW)
    assert not is_recent(STAMP, "20150829", NOW)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic dXNlcjpwYXNz",
        "Bearer x",
        "AWS4-HMAC-SHA256 Credential=K/20150830/r/s/aws4_request, SignedHeaders=host;x-amz-date, Signature=x",
        "AWS4-HMAC-SHA256 " + "Credential=" * 9999,
        request().headers["authorization"] + "\n",
    ],
)
def test_a_request_without_a_signature_says_what_it_lacks(authorization: str) -> None:
    status, name, said = refusal(request(authorization=authorization))
    assert (403, "IncompleteSignatureException") == (status, name)
    assert "configure the access key that detect.api.keys has" in said


@pytest.mark.parametrize("names", ["host", "x-amz-date", "range"])
def test_host_and_date_are_among_what_is_signed(names: str) -> None:
    changed = request().headers["authorization"].replace("host;x-amz-date", names)
    assert "must be of host and x-amz-date as well" in refusal(request(authorization=changed))[2]


def test_an_unknown_key_and_anothers_secret_are_told_apart() -> None:
    unknown = request().headers["authorization"].replace(KEY, "AKIAUNKNOWN")
    assert "UnrecognizedClientException" == refusal(request(authorization=unknown))[1]
    others = request().headers["authorization"].replace(KEY, "OTHER")
    assert "InvalidSignatureException" == refusal(request(authorization=others))[1]


def test_a_query_is_signed_in_one_form_and_one_order() -> None:
    assert ["a%20b", "a%20b", "%2F%3D%C3%BC~-_."] == [recode("a+b"), recode("a%20b"), recode("%2f=%c3%bc~-_.")]
    signed = canonical(request(query="b=2&a=1&a=0&&c"), ["host"]).splitlines()
    assert ["GET", "/", "a=0&a=1&b=2&c=", "host:example.amazonaws.com", "", "host"] == signed[:-1]
    assert 64 == len(signed[-1])
    assert "/a%2520b" == canonical(request()._replace(path="/a%20b"), []).splitlines()[1]  # once more
