"""A verdict is picked out of whatever arrives, and whatever else arrives costs neither memory nor the log."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator

import pytest

from defender_publisher.errors import Rejected
from defender_publisher.inbox import Message
from defender_publisher.verdict import MOST_OTHERS, Verdicts, note_unasked, wait_for

TOPIC = "$aws/things/t/defender/metrics/json"


def accepted(report_id: object) -> Message:
    return Message(f"{TOPIC}/accepted", json.dumps({"reportId": report_id, "status": "ACCEPTED"}).encode())


class Arriving:
    """Messages that arrive one after the other, without end if they are so."""

    def __init__(self, messages: Iterator[Message]) -> None:
        self._messages = messages

    def next_message(self, timeout: float) -> Message | None:
        return next(self._messages, None)

    def waiting_messages(self) -> Iterator[Message]:
        return self._messages


def test_a_verdict_is_found_behind_thousands_of_other_messages(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    others: Verdicts = {}
    flood = [accepted(number) for number in range(100, 3100)] + [Message(f"{TOPIC}/accepted", b"\x1b[2J")] * 1000
    assert wait_for(Arriving(iter([*flood, accepted(7)])), 7, "json", time.monotonic() + 600, others)
    assert MOST_OTHERS == len(others)
    assert ["ignoring a reply to report 100 while waiting for report 7"] == caplog.messages


def test_a_flood_without_end_is_no_verdict_once_the_time_is_over() -> None:
    endless = (accepted(number) for number in itertools.count(100))
    assert not wait_for(Arriving(endless), 7, "json", time.monotonic(), {})


@pytest.mark.parametrize("report_id", [2**63, -1, 0, 10**400, "7", None, 7.5])
def test_an_id_that_none_of_our_reports_has_names_none(report_id: object) -> None:
    others: Verdicts = {}
    note_unasked(Arriving(iter([accepted(report_id)])), "json", others)
    assert {} == others


def test_a_rejections_words_are_shown_in_one_line_without_control_characters() -> None:
    details = {
        "ErrorCode": "Throttled\x1b[1m",
        "ErrorMessage": "x\r\n2026-11-30 : INFO : accepted\u202e" + "A" * 100_000,
    }
    message = Message(f"{TOPIC}/rejected", json.dumps({"statusDetails": details}).encode())
    with pytest.raises(Rejected) as raised:
        wait_for(Arriving(iter([message])), 7, "json", time.monotonic() + 600, {})
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 500
