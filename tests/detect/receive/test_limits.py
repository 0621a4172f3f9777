"""A share lets its owner send so much at once and so much a second, and never more."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from defender_detect.receive.limits import Limits, Share
from tests.detect.receive.test_receiver import Clock

ROOT = Path(__file__).resolve().parent.parent.parent.parent
LIMITS = Limits(messages_per_second=10.0, bytes_per_second=1_000.0, saved=5.0)


def test_the_documentation_says_which_limits_there_are() -> None:
    lines = (ROOT / "docs" / "security.md").read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in lines if line.startswith("| `")]
    documented = {row[0].split("`")[1]: float(row[1]) for row in rows}
    assert asdict(Limits()) == documented


def test_what_was_saved_can_be_sent_at_once_and_then_so_much_a_second() -> None:
    clock = Clock()
    share = Share(LIMITS, clock)
    assert [0.0] * 50 == [share.charge(1) for _ in range(50)]
    assert pytest.approx(0.1) == share.charge(1)
    clock.now += 1.125
    assert [0.0] * 10 == [share.charge(1) for _ in range(10)]
    assert pytest.approx(0.075) == share.charge(1)


def test_bytes_count_as_messages_do() -> None:
    share = Share(LIMITS, Clock())
    assert 0.0 == share.charge(5_000)
    assert pytest.approx(2.0) == share.charge(2_000)


def test_several_connections_of_a_certificate_wait_for_each_other() -> None:
    share = Share(LIMITS, Clock())
    share.charge(5_000)
    assert [pytest.approx(1.0), pytest.approx(2.0), pytest.approx(3.0)] == [share.charge(1_000) for _ in range(3)]


def test_no_more_is_saved_than_the_limit() -> None:
    clock = Clock()
    share = Share(LIMITS, clock)
    clock.now += 1_000_000.0
    assert share.is_full()
    assert 50 == [share.charge(1) for _ in range(60)].count(0.0)
    assert not share.is_full()
    clock.now += 6.1
    assert share.is_full()


def test_a_report_every_five_minutes_never_waits() -> None:
    clock = Clock()
    share = Share(Limits(), clock)
    for _ in range(100):
        clock.now += 300.0
        assert 0.0 == share.charge(131_072)


def test_only_what_carries_a_message_may_be_long() -> None:
    assert 132_096 == Limits().largest(0x30) == Limits().largest(0x10)
    assert 2_074 == Limits().largest(0x82) == Limits().largest(0xA2) == Limits().largest(0xC0)
