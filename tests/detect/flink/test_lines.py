"""What leaves an operator is one line of ASCII whose first character says what it is, and what it holds comes back."""

from __future__ import annotations

import json

import pytest

from defender_detect.evaluate.percentiles import Ranking
from defender_detect.evaluate.shapes import alert_body
from defender_detect.flink import lines
from defender_detect.flink.records import Refused
from tests.detect.store.test_store import event

HOSTILE = 'a\nb\r\x00\u202e\u2028\ud800"\\'


def test_an_alarm_to_be_told_and_one_that_is_kept_only_differ_in_their_first_character() -> None:
    loud, quiet = lines.of_event(event()), lines.of_event(event(suppressed=True))
    assert (lines.ALARM, lines.QUIET, loud[1:]) == (loud[0], quiet[0], quiet[1:])
    assert alert_body(event()) == json.loads(loud[1:])


def test_each_kind_of_line_has_a_character_of_its_own() -> None:
    kinds = [lines.ALARM, lines.QUIET, lines.REFUSED, lines.RULES, lines.THRESHOLD]
    assert 5 == len(set(kinds))
    assert all(len(kind) == 1 for kind in kinds)


@pytest.mark.parametrize("text", ["", "plain", "\U0001f600", HOSTILE, "x" * 100_000])
def test_whatever_a_stranger_wrote_is_one_line_and_comes_back(text: str) -> None:
    refused = Refused("BadTime", text, text, text)
    line = lines.of_refused(refused)
    assert (lines.REFUSED, True, 1) == (line[0], line.isascii(), len(line.splitlines()))
    assert refused == lines.read_refused(line)
    told = lines.of_event(event(thing=text, value=(text,), kind="strings"))
    assert (True, 1) == (told.isascii(), len(told.splitlines()))


def test_a_refused_record_without_a_thing_comes_back_without() -> None:
    assert Refused("NoEnvelope", "why") == lines.read_refused(lines.of_refused(Refused("NoEnvelope", "why")))


@pytest.mark.parametrize("value", [None, 0.0, -1.5, 1e300, 7])
def test_a_percentile_has_its_metric_ranking_window_and_value(value: float | None) -> None:
    line = lines.of_threshold("aws:all-bytes-out", Ranking("p99.9", 300), 5_966_666, value)
    assert (lines.THRESHOLD, ["aws:all-bytes-out", "p99.9", 300, 5_966_666, value]) == (line[0], json.loads(line[1:]))
