"""Subscriptions find who asked for a topic, by MQTT's rules, and forget what nobody asks for."""

from __future__ import annotations

import pytest

from defender_detect.receive.subscriptions import Subscriptions

MATCHES = [  # filter, topic, whether they match: the examples of MQTT 3.1.1, chapter 4.7, and those at its edges
    ("sport/tennis/player1/#", "sport/tennis/player1", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
    ("sport/#", "sport", True),
    ("#", "sport/tennis", True),
    ("sport/tennis/+", "sport/tennis/player1", True),
    ("sport/tennis/+", "sport/tennis/player1/ranking", False),
    ("sport/+", "sport", False),
    ("sport/+", "sport/", True),
    ("+/+", "/finance", True),
    ("/+", "/finance", True),
    ("+", "/finance", False),
    ("#", "$SYS/monitor/Clients", False),
    ("+/monitor/Clients", "$SYS/monitor/Clients", False),
    ("$SYS/#", "$SYS/monitor/Clients", True),
    ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
    ("$SYS/#", "$SYS", True),
    ("a/$b/+", "a/$b/c", True),
    ("a/+/c", "a/$b/c", True),
    ("a/b", "a/B", False),
    ("a", "a/", False),
]


@pytest.mark.parametrize(("topic_filter", "topic", "matches"), MATCHES)
def test_a_topic_matches_a_filter_as_mqtt_says(topic_filter: str, topic: str, matches: bool) -> None:
    subscriptions: Subscriptions[str] = Subscriptions()
    subscriptions.add(topic_filter, "me")
    assert ["me"] * matches == subscriptions.find(topic)


def test_who_asked_by_several_filters_is_found_once() -> None:
    subscriptions: Subscriptions[str] = Subscriptions()
    for each in ("a/b", "a/+", "a/#", "#", "+/b"):
        subscriptions.add(each, "me")
    subscriptions.add("a/b", "you")
    assert ["me", "you"] == sorted(subscriptions.find("a/b"))


def test_a_filter_that_is_removed_leaves_the_others_and_nothing_else() -> None:
    subscriptions: Subscriptions[str] = Subscriptions()
    for each in ("a/b/c", "a/b", "a/+/c"):
        subscriptions.add(each, "me")
    subscriptions.add("a/b", "you")
    for each in ("a/b", "a/+/c", "a/x/y", "z"):
        subscriptions.remove(each, "me")
    assert ["me"] == subscriptions.find("a/b/c")
    assert ["you"] == subscriptions.find("a/b")
    subscriptions.remove("a/b/c", "me")
    subscriptions.remove("a/b", "you")
    assert {} == subscriptions._root.below


def test_filters_of_others_are_not_looked_at() -> None:
    """A message takes as many steps among 200,000 filters as among one, which reading levels counts."""
    subscriptions: Subscriptions[str] = Subscriptions()
    for number in range(200_000):
        subscriptions.add(f"f/{number}", "evil")
    subscriptions.add("$aws/things/+/defender/metrics/json", "detect")
    looked_up: list[str] = []

    class Counted(dict):  # type: ignore[type-arg]
        def __contains__(self, key: object) -> bool:
            looked_up.append(str(key))
            return super().__contains__(key)

    subscriptions._root.below = Counted(subscriptions._root.below)
    assert ["detect"] == subscriptions.find("$aws/things/rpi-1/defender/metrics/json")
    assert ["#", "$aws"] == looked_up
