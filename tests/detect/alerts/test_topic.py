"""Alerts on a topic of the broker."""

from __future__ import annotations

import json

import pytest

from defender_detect.alerts.topic import Topic, TopicSink
from defender_detect.errors import AlertRefused
from device_defender.validation import find_problems
from tests.detect.evaluate.test_shapes import BODY
from tests.detect.store.test_store import event


def test_a_topic_gets_the_body_unless_it_is_too_large() -> None:
    published: list[tuple[str, bytes]] = []
    sink = TopicSink("alarms/all", lambda topic, payload, retain=False: published.append((topic, payload)))
    sink.send(event())
    assert [("alarms/all", BODY)] == [(topic, json.loads(payload)) for topic, payload in published]
    with pytest.raises(AlertRefused, match="a message may have 131072"):
        sink.send(event(value=("x" * 131_072,), kind="strings"))
    assert 1 == len(published)


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0", "a/b/c/d/e/f/g/h/i", "x" * 257])
def test_what_is_no_topic_is_refused_at_once(topic: str) -> None:
    (problem,) = find_problems({"type": "topic", "topic": topic}, Topic)
    assert problem.startswith("topic must be a topic of 1 to 256 bytes with at most 7 slashes and without + and #, got")
