"""A thing is always in the same shard, for whoever publishes and whoever receives."""

from __future__ import annotations

from collections import Counter

import pytest

from device_defender.shards import broken_rules, shard_of, shards_of, topic_of, with_shard


@pytest.mark.parametrize(
    ("thing", "shard"),
    [("rpi-0001", 0), ("rpi-0002", 10), ("Küche", 4), ("", 0)],
)
def test_a_shard_is_for_ever(thing: str, shard: int) -> None:
    """A release that changed one of these would send a fleet's reports to other receivers."""
    assert shard == shard_of(thing, 16)


def test_a_fleet_is_spread_evenly() -> None:
    spread = Counter(shard_of(f"rpi-{number:05}", 16) for number in range(16_000))
    assert 16 == len(spread)
    assert 900 < min(spread.values()) <= max(spread.values()) < 1_100


def test_the_topic_of_a_thing_has_its_name_and_its_shard() -> None:
    assert "reports/0/rpi-0001" == topic_of("reports/{shard:16}/{thing_name}", "rpi-0001")
    assert "reports/rpi-0001" == topic_of("reports/{thing_name}", "rpi-0001")
    assert "a/{shard:9}" == topic_of("a/{thing_name}", "{shard:9}"), "a name is no pattern"
    assert ("a/3/b", 16, None) == (with_shard("a/{shard:16}/b", 3), shards_of("a/{shard:16}"), shards_of(None))


@pytest.mark.parametrize(
    ("topic", "rule"),
    [
        ("a/{thing_name}", []),
        ("s{shard:16}/{thing_name}", []),
        ("{shard:1000}", []),
        ("{shard}/a", ["must give the number of shards as in {shard:16}"]),
        ("{shards:16}/a", ["must give the number of shards as in {shard:16}"]),
        ("{shard: 16}/a", ["must give the number of shards as in {shard:16}"]),
        ("{Shard:16}/a", ["must give the number of shards as in {shard:16}"]),
        ("{shard:016}/a", ["must give the number of shards as in {shard:16}"]),
        ("{shard:16/a", ["must give the number of shards as in {shard:16}"]),
        ("{shard:2}/{shard:2}", ["must have only one {shard:N} in it"]),
        ("{shard:1}/a", ["must have 2 to 1000 shards"]),
        ("{shard:1001}/a", ["must have 2 to 1000 shards"]),
    ],
)
def test_shards_that_cannot_be_meant_are_said(topic: str, rule: list[str]) -> None:
    assert rule == list(broken_rules(topic))
