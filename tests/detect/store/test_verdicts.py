"""A person's verdict on a violation is kept beside it, shown with it, and goes when it goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender_detect.ask.queries import list_active_violations, list_violation_events
from defender_detect.errors import NothingKept, StoreError, VerdictError
from defender_detect.store.pruning import Limits
from defender_detect.store.store import DAY, Store
from defender_detect.store.verdicts import put_verdict
from tests.detect.store.test_pruning import prune
from tests.detect.store.test_store import NOW, event, store


def in_alarm(directory: Path) -> Store:
    """A store with one alarm that is on."""
    kept = store(directory, interval=60)
    kept.add("rpi-1", NOW, {"cpu_usage": 99.5}, [event()])
    assert kept.flush()
    return kept


def test_a_verdict_is_shown_with_the_violation_and_its_events_and_the_last_one_counts(tmp_path: Path) -> None:
    with in_alarm(tmp_path) as kept:
        assert "UNKNOWN" == list_active_violations(kept)["activeViolations"][0]["verificationState"]
        put_verdict(tmp_path, "id-rpi-1", "TRUE_POSITIVE", "somebody mines", NOW)
        put_verdict(tmp_path, "id-rpi-1", "FALSE_POSITIVE", "a backup", NOW + 1)
        (violation,) = list_active_violations(kept)["activeViolations"]
        (begun,) = list_violation_events(kept, 0, NOW * 2)["violationEvents"]
        for each in (violation, begun):
            assert ("FALSE_POSITIVE", "a backup") == (each["verificationState"], each["verificationStateDescription"])
        put_verdict(tmp_path, "id-rpi-1", "BENIGN_POSITIVE", "", NOW + 2)
        assert "verificationStateDescription" not in list_active_violations(kept)["activeViolations"][0]


def test_detect_goes_on_writing_after_another_process_put_a_verdict(tmp_path: Path) -> None:
    with in_alarm(tmp_path) as kept:
        put_verdict(tmp_path, "id-rpi-1", "TRUE_POSITIVE", "", NOW)
        kept.add("rpi-1", NOW + 300, {}, [event("alarm-cleared", time=NOW + 300, value=5)])
        assert kept.flush()
        events = list_violation_events(kept, 0, NOW * 2)["violationEvents"]
        assert ["TRUE_POSITIVE"] * 2 == [each["verificationState"] for each in events]


def test_a_verdict_goes_with_the_last_event_of_its_violation_and_not_before(tmp_path: Path) -> None:
    with in_alarm(tmp_path) as kept:
        put_verdict(tmp_path, "id-rpi-1", "TRUE_POSITIVE", "", NOW)
        prune(kept, Limits(NOW + 40 * DAY, NOW + 40 * DAY))
        assert ["id-rpi-1"] == list(kept.verifications(["id-rpi-1", "other"]))  # the alarm is on
        kept.add("rpi-1", NOW + 300, {}, [event("alarm-cleared", time=NOW + 300, value=5)])
        kept.flush()
        prune(kept, Limits(NOW + 200, NOW + 200))
        assert ["id-rpi-1"] == list(kept.verifications(["id-rpi-1"]))
        prune(kept, Limits(NOW + 40 * DAY, NOW + 40 * DAY))
        assert {} == kept.verifications(["id-rpi-1"])


@pytest.mark.parametrize(
    ("state", "description", "message"),
    [
        ("MAYBE", "", "verificationState must be one of FALSE_POSITIVE, .* got 'MAYBE'"),
        ("false_positive", "", "verificationState must be"),
        ("UNKNOWN", "x" * 1001, "at most 1000 characters, got 1001"),
        ("UNKNOWN", "two\nlines", "without control characters"),
        ("UNKNOWN", "\x1b[31mred", "without control characters"),
        ("UNKNOWN", "\x85", "without control characters"),
    ],
)
def test_what_aws_does_not_take_is_no_verdict(tmp_path: Path, state: str, description: str, message: str) -> None:
    with in_alarm(tmp_path) as kept, pytest.raises(VerdictError, match=message):
        put_verdict(tmp_path, "id-rpi-1", state, description, NOW)
    assert {} == kept.verifications(["id-rpi-1"])


def test_a_violation_of_which_nothing_is_kept_gets_no_verdict(tmp_path: Path) -> None:
    with in_alarm(tmp_path), pytest.raises(NothingKept, match="nothing is kept of a violation other"):
        put_verdict(tmp_path, "other", "UNKNOWN", "", NOW)


def test_no_database_is_made_for_a_verdict(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing is kept"):
        put_verdict(tmp_path, "id-rpi-1", "UNKNOWN", "", NOW)
    assert [] == list(tmp_path.iterdir())
