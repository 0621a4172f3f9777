"""Rules go to another process as JSON and are the same there; those that succeed others remember what those said."""

from __future__ import annotations

import json

import msgspec
import pytest

from defender_detect.errors import ProfileError
from defender_detect.evaluate.detector import Rules
from defender_detect.evaluate.percentiles import Population, Ranking
from tests.detect.evaluate.golden import after, before
from tests.detect.evaluate.test_detector import GROUPS, TARGETS, attach, cpu, profile, ranked

NOW = 1_800_000_000.0


def test_rules_are_the_same_in_another_process() -> None:
    there = Rules.from_json(Rules(TARGETS, GROUPS).to_json())
    here = Rules(TARGETS, GROUPS)
    for thing in ("anyone", "in-lab", "on-roof", "in-two", "in-idle"):
        assert here.of(thing).names == there.of(thing).names
        assert [each.behavior for each in here.of(thing).rules] == [each.behavior for each in there.of(thing).rules]
        assert [each.behavior.document for each in here.of(thing).rules] == [
            each.behavior.document for each in there.of(thing).rules
        ]
    assert here.to_json() == there.to_json()


def test_rules_that_succeed_others_know_every_behavior_that_was_there_and_since_when() -> None:
    first, second, third = Rules([attach(cpu("p", 75))]), Rules([attach(cpu("q", 75))]), Rules([])
    second.succeed(first, NOW)
    third.succeed(second, NOW + 60)
    there = Rules.from_json(third.to_json())
    assert (NOW + 60, {"p/cpu", "q/cpu"}) == (there.since, set(there.retired)) == (third.since, set(third.retired))
    ruleset = there.of("a")
    assert (NOW + 60, "cpu") == (ruleset.since, ruleset.retired["p/cpu"].behavior.metric)


def test_what_is_no_rules_is_said() -> None:
    for document in (b"", b"[]", b"{}", b'{"attachments": [], "groups": {}, "since": 0}'):
        with pytest.raises(msgspec.DecodeError):
            Rules.from_json(document)


def test_every_problem_of_the_profiles_in_json_is_said() -> None:
    document = json.loads(Rules([attach(cpu("p", 75)), attach(cpu("q", 75))]).to_json())
    document["attachments"][0]["profile"]["behaviors"][0]["criteria"]["comparisonOperator"] = "less"
    del document["attachments"][1]["profile"]["securityProfileName"]
    with pytest.raises(ProfileError) as caught:
        Rules.from_json(json.dumps(document).encode())
    first, second = caught.value.problems
    assert "attachments[0].profile.behaviors[0].criteria.comparisonOperator must be one of" in first
    assert "attachments[1].profile.securityProfileName is missing" in second


def test_other_rules_go_on_with_the_percentiles_of_the_same_statistic_and_window_only() -> None:
    def rules(statistic: str, name: str = "b") -> Rules:
        return Rules([attach(profile("p", ranked(name, "cpu", "less-than", statistic)))])

    kept = rules("p50")
    kept.thresholds(kept.of("a"), NOW)
    kept.count([("p/b", 5.0)])
    for others, number in ((rules("p50"), 1), (rules("p90"), 0), (rules("p50", "c"), 0)):
        others.restore_populations(kept.populations)
        assert [number] == [len(each.sketch) for each in others.populations.values()]
    assert {"p/b": Population("p50", 300.0)} == rules("p50").populations
    assert {"golden/packets": Ranking("p90", 300.0)} == before(2).ranked
    assert {"golden/packets": Ranking("p50", 600.0)} == after(2).ranked
