"""What Detect keeps outlives a kill and a restart, leaves when it is old, and holds nobody up."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from defender_detect.errors import StoreError
from defender_detect.evaluate.alarms import Event, Lasting
from defender_detect.store.reader import Reader, Thing, ThingState
from defender_detect.store.store import Store

ROOT = Path(__file__).resolve().parent.parent.parent.parent
NOW = 1_800_000_000.25
CRITERIA = {"comparisonOperator": "less-than-equals", "value": {"number": 75}}


def event(what: str = "in-alarm", thing: str = "rpi-1", time: float = NOW, **changes: Any) -> Event:
    fields: dict[str, Any] = {
        "violation_id": f"id-{thing}",
        "thing": thing,
        "profile": "cpu-usage",
        "behavior": "cpu",
        "metric": "cpu_usage",
        "type": what,
        "time": time,
        "value": 99.5,
        "criteria": CRITERIA,
        "kind": "number",
        "suppressed": False,
    }
    return Event(**{**fields, **changes})


def store(path: Path, **options: Any) -> Store:
    return Store(path, **{"clock": lambda: NOW, **options})


def test_values_are_found_by_thing_metric_and_time_across_hours(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        for number in range(100):
            kept.add("rpi-1", NOW + 300 * number, {"cpu_usage": number})
            kept.add("rpi-2", NOW + 300 * number, {"cpu_usage": -number, "rare": 1})
        kept.flush()
        found = kept.values("rpi-1", "cpu_usage", NOW + 300 * 10, NOW + 300 * 90)
        assert [(NOW + 300 * number, number) for number in range(10, 90)] == found
        assert [] == kept.values("rpi-1", "rare", 0, NOW * 2) == kept.values("rpi-1", "unheard-of", 0, NOW * 2)
        assert [] == kept.values("rpi-3", "cpu_usage", 0, NOW * 2)
        assert ["cpu_usage", "rare"] == kept.metrics("rpi-2")


def test_a_restart_continues_with_the_states_and_last_reports(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.add("rpi-2", NOW + 1, {}, state=b"two", report_id=8)
        kept.add("rpi-1", NOW, {}, state=b"one", report_id=7)
        kept.flush()
        kept.add("rpi-1", NOW + 5, None, state=b"later")  # silence, and no report
    with store(tmp_path) as kept:
        expected = [ThingState("rpi-1", 7, NOW, b"later"), ThingState("rpi-2", 8, NOW + 1, b"two")]
        assert expected == list(kept.load_states())
        assert [Thing("rpi-1", 7, NOW, 0), Thing("rpi-2", 8, NOW + 1, 0)] == list(kept.things())


def test_events_are_kept_in_order_and_found_by_time_thing_and_profile(tmp_path: Path) -> None:
    events = [
        event(),
        event("alarm-cleared", time=NOW + 9, value=None),
        event(thing="rpi-2", time=NOW + 5, profile="p", value=(22, 80), suppressed=True, kind="ports"),
    ]
    with store(tmp_path) as kept:
        kept.add("rpi-1", NOW, {}, events)
        kept.flush()
        assert [events[0], events[2], events[1]] == list(kept.events(NOW, NOW + 10))
        assert [events[2]] == list(kept.events(0, NOW * 2, profile="p"))
        assert [events[2]] == list(kept.events(0, NOW * 2, thing="rpi-2"))
        assert [events[0]] == list(kept.events(NOW, NOW + 5))


def test_an_alarm_is_active_from_its_first_event_to_its_last_and_shows_the_newest_violation(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.add("rpi-1", NOW, {}, [event()], lasting=[Lasting("unknown", 1)])
        kept.flush()
        kept.add("rpi-1", NOW + 300, {}, lasting=[Lasting("id-rpi-1", 88)])
        kept.flush()
        (active,) = kept.active()
        assert ("id-rpi-1", NOW, NOW + 300, 88) == (
            active.violation_id, active.started_at, active.last_time, active.last_value,
        )  # fmt: skip
        assert (CRITERIA, "number", False) == (active.criteria, active.kind, active.suppressed)
        kept.add(
            "rpi-1", NOW + 600, {}, [event("alarm-cleared"), event(violation_id="new"), event("alarm-invalidated")]
        )
        kept.flush()
        assert [] == list(kept.active())


def test_made_up_metrics_are_kept_in_a_bounded_number_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("defender_detect.store.writer.MOST_METRICS", 3)
    with store(tmp_path, interval=60) as kept:
        for number in range(6):
            kept.add("rpi-1", NOW + number, {f"made-up-{number}": 1, "cpu_usage": number})
            kept.flush()
        assert [0, 1, 2, 3, 4, 5] == [value for _, value in kept.values("rpi-1", "cpu_usage", 0, NOW * 2)]
        assert 1 == len(kept.values("rpi-1", "made-up-1", 0, NOW * 2))
        assert [] == kept.values("rpi-1", "made-up-2", 0, NOW * 2)
    assert 1 == caplog.text.count("more than 3 different metrics: others, such as 'made-up-2', are not kept")


def test_another_process_reads_while_detect_runs(tmp_path: Path) -> None:
    code = f"from defender_detect.store.reader import Reader; print(next(Reader({str(tmp_path)!r}).things()).report_id)"
    with store(tmp_path) as kept:
        kept.add("rpi-1", NOW, {"cpu_usage": 1}, report_id=42)
        kept.flush()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "42" == done.stdout.strip()


def test_two_detects_do_not_share_a_directory(tmp_path: Path) -> None:
    with store(tmp_path), pytest.raises(StoreError, match="another amazon-defender-detect"):
        store(tmp_path)
    store(tmp_path).close()


def test_the_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    with store(tmp_path / "new" / "state"):
        assert 0o700 == stat.S_IMODE((tmp_path / "new" / "state").stat().st_mode)


def test_places_where_nothing_can_be_kept_or_is_kept_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/below cannot be used \(Not a directory\)"):
        store(tmp_path / "file" / "below")
    with pytest.raises(StoreError, match="has not run with it yet"):
        list(Reader(tmp_path / "empty").things())
