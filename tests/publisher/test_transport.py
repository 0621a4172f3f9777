"""Device Defender's answers are read as it documents them, and anything else is no answer."""

from __future__ import annotations

import json

import cbor2
import pytest

from defender_publisher.transport import Reply, parse_reply

ACCEPTED = {"thingName": "T", "reportId": 1542697506, "status": "ACCEPTED", "timestamp": 1542697506269}
REJECTED = {
    "thingName": "T",
    "status": "REJECTED",
    "statusDetails": {"ErrorCode": "InvalidPayload", "ErrorMessage": "Malformed metrics report"},
    "timestamp": 1635802047699,
}


@pytest.mark.parametrize("form", ["json", "cbor"])
@pytest.mark.parametrize(
    ("topic", "content", "expected"),
    [
        ("t/accepted", ACCEPTED, Reply(True, 1542697506)),
        ("t/rejected", REJECTED, Reply(False, None, "InvalidPayload", "Malformed metrics report")),
        ("t/rejected", {**REJECTED, "reportId": 5}, Reply(False, 5, "InvalidPayload", "Malformed metrics report")),
        ("t/rejected", {}, Reply(False, None, "unknown", "")),
        ("t/accepted", {"status": "ACCEPTED"}, None),
        ("t/accepted", {"reportId": "5"}, None),
        ("t/accepted", [1], None),
        ("t/rejected", {"statusDetails": 5}, Reply(False, None, "unknown", "")),
    ],
)
def test_an_answer_is_read(form: str, topic: str, content: object, expected: Reply | None) -> None:
    payload = json.dumps(content).encode() if form == "json" else cbor2.dumps(content)
    assert expected == parse_reply(topic, payload, form)


@pytest.mark.parametrize("form", ["json", "cbor"])
@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"{", b"[" * 100_000, b"\x9f" * 100_000, b"\x00"])
def test_garbage_is_no_answer(form: str, payload: bytes) -> None:
    assert None is parse_reply("t/accepted", payload, form)
