"""Whoever is to hear of an alarm does, and a target that fails or hangs holds up nobody."""

from __future__ import annotations

import logging
import threading

import pytest

from defender_detect.alerts.alerts import Alerts
from defender_detect.errors import AlertError
from tests.detect.alerts.sink import FakeSink
from tests.detect.store.test_store import event
from tests.waiting import PATIENCE, wait_until


def alerts_to(*sinks: FakeSink) -> Alerts:
    alerts = Alerts(sinks, to_log=False)
    for name in "abc":
        alerts.tell(event(violation_id=name))
    return alerts


def test_the_end_hands_over_what_waits_and_says_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    good, bad, hangs = FakeSink(), FakeSink(*[AlertError("no")] * 9), FakeSink(hang := threading.Event())
    alerts = alerts_to(hangs, good, bad)
    end = threading.Thread(target=alerts.close, args=(PATIENCE,))
    end.start()
    assert wait_until(lambda: good.taken == ["a", "b", "c"])
    assert [] == hangs.taken
    hang.set()
    end.join(PATIENCE)
    assert ["a", "b", "c"] == hangs.taken
    assert 1 == caplog.text.count("the fake: 3 alerts were not delivered; the list of violations has them")


def test_the_end_does_not_wait_for_sinks_that_hang(caplog: pytest.LogCaptureFixture) -> None:
    hangs, too = FakeSink(hang := threading.Event()), FakeSink(hang)
    alerts_to(hangs, too).close(0.1)
    assert ([], []) == (hangs.taken, too.taken)
    hang.set()
    assert 2 == caplog.text.count("the fake: 3 alerts were not delivered; the list of violations has them")


def test_a_suppressed_alert_is_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    sink = FakeSink()
    alerts = Alerts([sink])
    with caplog.at_level(logging.INFO):
        alerts.tell(event(suppressed=True))
    alerts.close()
    assert ([], "") == (sink.taken, caplog.text)
