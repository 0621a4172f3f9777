"""The page of profiles says when each behavior alarms, whom it is for, how often it did, and why one does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from defender_detect.console.profiles import describe, describe_behavior, make_profiles
from defender_detect.evaluate.detector import ALL_THINGS, Attachment
from defender_detect.profiles import parse_profile
from defender_detect.store.store import Store
from tests.detect.console.conftest import HOSTILE, NOW, Open, rules, sight_of, text_of
from tests.detect.store.test_store import CRITERIA, event

BEHAVIOR: dict[str, Any] = {"name": "cpu", "metric": "cpu_usage", "criteria": CRITERIA}


def attachment(*targets: str, **more: Any) -> Attachment:
    profile = parse_profile({"securityProfileName": "p", "behaviors": [BEHAVIOR], **more})
    return Attachment(profile, frozenset(targets))


def test_profiles_are_sentences(fleet: Path, open_console: Open) -> None:
    words = text_of(open_console(fleet).get("/profiles").text)
    assert "Alarms on bytes sent: more than 50 MB in 1 h" in words
    assert "Alarms on listening TCP ports: any port but 22" in words
    assert "3 reports in a row" in words
    without = text_of(open_console(fleet, rules=lambda: None).get("/profiles").text)
    assert "These are the behaviors that alarmed" in without
    assert "bytes-out-in-5-minutes" in without


def test_a_profile_is_for_all_things_or_for_those_that_it_names() -> None:
    assert "all things" == describe(attachment(ALL_THINGS, "a"), {}, {}).targets
    assert "cameras, gateways" == describe(attachment("gateways", "cameras"), {}, {}).targets
    assert "" == describe(attachment(), {}, {}).targets


def test_a_description_is_shown_as_far_as_it_can_be_printed() -> None:
    assert "" == describe(attachment(), {}, {}).description
    shown = describe(attachment(securityProfileDescription="x" * 990), {}, {}).description
    assert "x" * 990 == shown


def test_a_behavior_is_said_with_how_often_it_alarmed() -> None:
    counted = describe_behavior("p", BEHAVIOR, {("p", "cpu"): 7, ("q", "cpu"): 9}, {("p", "cpu"): 2})
    assert ("cpu", "Alarms on cpu_usage: more than 75%", "", 7, 2) == counted
    assert (0, 0) == describe_behavior("p", BEHAVIOR, {}, {})[-2:]
    assert "nobody is notified" == describe_behavior("p", {**BEHAVIOR, "suppressAlerts": True}, {}, {}).note


def test_why_a_behavior_is_not_evaluated_is_said_in_the_place_of_its_sentence() -> None:
    learned = {**BEHAVIOR, "criteria": {"mlDetectionConfig": {"confidenceLevel": "HIGH"}}, "suppressAlerts": True}
    found = describe_behavior("p", learned, {}, {})
    assert "cpu_usage" == found.words
    assert found.note.startswith("not evaluated: ")


def test_metrics_that_are_kept_besides_are_named_in_words() -> None:
    kept = attachment(additionalMetricsToRetainV2=[{"metric": "aws:all-bytes-out"}, {"metric": "mine"}])
    assert {"bytes sent", "mine"} == set(describe(kept, {}, {}).retained)


def test_behaviors_that_alarmed_and_are_in_no_profile_any_more_are_listed_besides(tmp_path: Path) -> None:
    with Store(tmp_path, interval=3600, clock=lambda: NOW) as store:
        store.add(HOSTILE, NOW - 60, {"n": 1}, [event(thing=HOSTILE, profile="old", behavior="gone", time=NOW - 60)])
        known = event(thing="t", profile="cpu-usage", behavior="processors-not-busy", time=NOW - 60)
        store.add("t", NOW - 60, {"n": 1}, [known])
        store.flush()
    shown = make_profiles(sight_of(tmp_path))
    assert ([("old", "gone")], True) == ([each[:2] for each in shown["others"]], shown["is_configured"])
    assert 1 == shown["others"][0][3]  # it is on
    assert [each.profile.name for each in rules().attachments] == [each.name for each in shown["profiles"]]
    nothing = make_profiles(sight_of(tmp_path, rules=lambda: None))
    assert ([], False) == (nothing["profiles"], nothing["is_configured"])
