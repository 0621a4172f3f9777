"""The alarms are chosen by what somebody asks for, a page at a time, and every link keeps that choice."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from defender_detect.console import alarms
from defender_detect.console.alarms import MOST_PAGES, link, make_alarms
from defender_detect.store.store import Store
from defender_detect.store.summaries import Choice
from defender_detect.store.verdicts import STATES, put_verdict
from tests.detect.console.conftest import HOSTILE, NOW, sight_of
from tests.detect.store.test_store import event


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Three alarms of one behavior that are on, one of another, and one that was cleared."""
    with Store(tmp_path, interval=3600, clock=lambda: NOW) as store:
        for number, behavior in enumerate(("cpu", "cpu", "cpu", "ports", "over")):
            began = event(thing=f"t{number}", time=NOW - 100 + number, behavior=behavior, violation_id=f"v{number}")
            store.add(f"t{number}", NOW - 60, {"cpu_usage": 99}, [began])
        store.flush()
        store.add(
            "t4", NOW - 9, {}, [event("alarm-cleared", "t4", NOW - 9, behavior="over", violation_id="v4", value=1)]
        )
        store.flush()
    return tmp_path


def test_behaviors_with_most_alarms_stand_first_and_all_are_counted(directory: Path) -> None:
    shown = make_alarms(sight_of(directory), Choice(behavior="ports", profile="cpu-usage"), False, 1)
    assert [("cpu", 3, False), ("ports", 1, True)] == [
        (chip.behavior.behavior, chip.behavior.number, chip.is_chosen) for chip in shown["behaviors"]
    ]
    assert (4, 1, ["t3"]) == (shown["total"], shown["found"], [each.violation.thing for each in shown["alarms"]])


def test_the_newest_alarm_stands_first_in_words(directory: Path) -> None:
    shown = make_alarms(sight_of(directory), Choice(), False, 1)["alarms"]
    assert ["t3", "t2", "t1", "t0"] == [each.violation.thing for each in shown]
    assert {"at most 75%"} == {each.normal for each in shown}
    assert {None} == {each.verdict for each in shown}


def test_what_ended_is_there_when_the_past_is_asked_for(directory: Path) -> None:
    shown = make_alarms(sight_of(directory), Choice(), True, 1)
    assert "alarms" not in shown
    assert ["cleared", "raised"] == [each.word for each in shown["events"] if each.event.thing == "t4"]
    assert 6 == len(shown["events"])


@pytest.mark.parametrize(("is_past", "number"), [(False, 4), (True, 6)])
def test_a_page_knows_whether_there_is_another(
    directory: Path, monkeypatch: pytest.MonkeyPatch, is_past: bool, number: int
) -> None:
    monkeypatch.setattr(alarms, "ROWS", 2)
    pages = [make_alarms(sight_of(directory), Choice(), is_past, page) for page in range(1, number // 2 + 2)]
    name = "events" if is_past else "alarms"
    assert [2] * (number // 2) + [0] == [len(each[name]) for each in pages]
    assert [True] * (number // 2 - 1) + [False, False] == [each["has_more"] for each in pages]
    assert pages[0]["previous"] is None
    assert "page=1" in pages[1]["previous"]
    assert "page=3" in pages[1]["next"]


@pytest.mark.parametrize(("page", "shown"), [(0, 1), (-5, 1), (MOST_PAGES, MOST_PAGES), (10**9, MOST_PAGES)])
def test_a_page_is_one_that_there_could_be(directory: Path, page: int, shown: int) -> None:
    assert shown == make_alarms(sight_of(directory), Choice(), False, page)["page"]
    assert shown == make_alarms(sight_of(directory), Choice(), True, page)["page"]


def test_what_somebody_found_is_chosen_by_and_shown(directory: Path) -> None:
    put_verdict(directory, "v1", "BENIGN_POSITIVE", "backup", NOW)
    for is_past, name in ((False, "alarms"), (True, "events")):
        (one,) = make_alarms(sight_of(directory), Choice(state="BENIGN_POSITIVE"), is_past, 1)[name]
        assert "backup" == one.verdict.description
    shown = make_alarms(sight_of(directory), Choice(state="UNKNOWN"), False, 1)
    assert 3 == shown["found"]
    assert [state == "UNKNOWN" for state in STATES] == [is_chosen for _, _, is_chosen in shown["verdicts"]]
    assert "not judged" in [words for words, *_ in shown["verdicts"]]


@pytest.mark.parametrize("name", [HOSTILE, "a&page=9", "a b+c", "%00", "k\u00fcche", "#x", "//evil.example"])
def test_a_link_keeps_the_choice_whatever_is_in_it(name: str) -> None:
    address = urlsplit(link(Choice(thing=name, state="UNKNOWN"), True, page=2))
    assert ("", "/alarms", "") == (address.netloc, address.path, address.fragment)
    assert {"when": ["past"], "thing": [name], "state": ["UNKNOWN"], "page": ["2"]} == parse_qs(address.query)


def test_a_link_to_everything_has_no_question() -> None:
    assert "/alarms" == link(Choice(), False)
    assert "/alarms?when=past" == link(Choice(), True)
    assert "/alarms?state=UNKNOWN" == link(Choice(state="TRUE_POSITIVE"), False, state="UNKNOWN")
