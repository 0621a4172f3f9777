"""What things ask for certificates by is read as AWS takes it, and whatever else comes is refused in a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from defender_detect.authority.documents import (
    LARGEST,
    Creation,
    Registration,
    Update,
    delta_of,
    encode,
    no_shadow,
    read_question,
    refusal,
    shadow_of,
)
from defender_detect.errors import RequestRefused


def said(payload: bytes, document: type[Any] = Creation) -> str:
    with pytest.raises(RequestRefused) as caught:
        read_question(payload, document)
    assert (400, "InvalidPayload") == (caught.value.status, caught.value.code)
    return str(caught.value)


def test_a_question_is_read_and_what_else_is_in_it_is_passed_over() -> None:
    assert Creation("CSR") == read_question(b'{"certificateSigningRequest": "CSR", "more": [1]}', Creation)
    asked = read_question(b'{"certificateOwnershipToken": "T", "parameters": {"ThingName": "a"}}', Registration)
    assert Registration("T", {"ThingName": "a"}) == asked


@pytest.mark.parametrize("document", [Creation, Registration, Update])
def test_an_empty_question_asks_with_nothing(document: type[Any]) -> None:
    assert document() == read_question(b"", document) == read_question(b"{}", document)


@pytest.mark.parametrize(
    "payload",
    [b"x", b"[]", b"null", b"\xff", b'{"certificateSigningRequest": 7}', b'{"certificateSigningRequest": "\xff"}',
     b"[" * 9000, b'{"a": ' * 2000, b"{} {}", "\ufeff{}".encode("utf-16")],
)  # fmt: skip
def test_what_is_no_such_question_is_refused(payload: bytes) -> None:
    assert said(payload).startswith("the question must be JSON as AWS takes it: ")


def test_the_longest_question_is_read_and_one_byte_more_is_not() -> None:
    assert Creation() == read_question(b"{}".ljust(LARGEST), Creation)
    assert f"a question must have at most {LARGEST} bytes, got {LARGEST + 1}" == said(b"{}".ljust(LARGEST + 1))


@pytest.mark.parametrize(
    ("state", "certificate"),
    [
        ({"reported": {"certificateId": "ab"}}, "ab"),
        ({"reported": {"certificateId": None}}, None),
        ({"reported": {}}, None),
        ({"reported": None}, None),
        ({"desired": {"certificateId": "ab"}}, None),
        ({}, None),
    ],
)
def test_a_thing_says_of_itself_which_certificate_it_uses(state: object, certificate: str | None) -> None:
    assert certificate == read_question(json.dumps({"state": state}).encode(), Update).certificate


def test_answers_are_what_aws_answers() -> None:
    refused = RequestRefused(404, "ResourceNotFound", "k\u00fcche \u2028\n")
    assert json.loads(refusal(refused)) == {
        "statusCode": 404, "errorCode": "ResourceNotFound", "errorMessage": "k\u00fcche \u2028\n",
    }  # fmt: skip
    assert refusal(refused).isascii()
    assert 404 == json.loads(no_shadow())["code"]
    assert b'{"a": null}' == encode({"a": None})


def test_a_wish_is_a_shadow_of_the_moment_in_utc_and_its_version_grows_with_it() -> None:
    wanted, now = 1_796_083_200, 1_796_083_201.9
    rotate = {"rotate": "2026-12-01T00:00:00Z"}
    shadow = {"state": {"desired": rotate, "delta": rotate}, "version": wanted, "timestamp": 1_796_083_201}
    assert shadow == json.loads(shadow_of(wanted, now))
    assert {**shadow, "state": rotate} == json.loads(delta_of(wanted, now))
