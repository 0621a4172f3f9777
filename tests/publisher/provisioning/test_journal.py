"""The journal is whole or not there; what is damaged is set aside, and a device begins again."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from defender_publisher.errors import Problem
from defender_publisher.provisioning.errors import CONNECT, HOOK, POLICY, ProvisioningError
from defender_publisher.provisioning.journal import Failure, Journal, JournalFile

BEGUN = Journal("claim", "a", "localhost", "rpi-0001", asked_at=1_000_000.0)


def test_what_is_noted_is_read_again_by_its_owner_alone(tmp_path: Path) -> None:
    file = JournalFile(tmp_path)
    noted = file.note(BEGUN, "begun", token="t", certificate="pem")
    assert (noted, 0o600) == (file.read(), file.path.stat().st_mode & 0o777)
    file.remove()
    assert file.read() is None


def test_a_failure_is_noted_beside_what_is_under_way(tmp_path: Path) -> None:
    file = JournalFile(tmp_path)
    error = ProvisioningError(HOOK, Problem("AccessDenied", "put it on the list"), final=True)
    file.note_failure(error)
    assert file.read() is None
    file.note(BEGUN, "begun")
    file.note_failure(error)
    noted = file.read()
    assert noted is not None
    assert noted.failure is not None
    assert ("hook", "hook: AccessDenied", True) == (noted.failure.step, noted.failure.says, noted.failure.final)


@pytest.mark.parametrize("content", ["", "{", '{"purpose": "coffee"}', "[]", '{"slot": "../../x"}'])
def test_a_damaged_journal_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str) -> None:
    file = JournalFile(tmp_path)
    file.path.write_text(content)
    assert file.read() is None
    assert [logging.WARNING] == [each.levelno for each in caplog.records]
    assert [content] == [path.read_text() for path in tmp_path.iterdir()]
    assert file.read() is None


@pytest.mark.parametrize(("after", "old"), [(0.0, False), (3500.0, False), (3600.0, True), (1e9, True), (-10.0, True)])
def test_a_token_is_good_for_an_hour_less_the_way_and_not_at_all_for_a_clock_that_went_back(
    after: float, old: bool
) -> None:
    assert old == BEGUN.token_is_old(BEGUN.asked_at + after)


def test_what_is_under_way_is_so_for_one_account_and_name(tmp_path: Path) -> None:
    assert BEGUN.is_for("claim", "localhost", "rpi-0001")
    assert not BEGUN.is_for("rotation", "localhost", "rpi-0001")
    assert not BEGUN.is_for("claim", "elsewhere", "rpi-0001")
    assert not BEGUN.is_for("claim", "localhost", "rpi-0002")


def test_failures_that_somebody_must_end_are_counted_until_something_is_achieved(tmp_path: Path) -> None:
    file = JournalFile(tmp_path)
    stays, passes = (ProvisioningError(HOOK, Problem("no"), passes=passes) for passes in (False, True))
    for_good, other = ProvisioningError(HOOK, Problem("no!"), final=True), ProvisioningError(POLICY, Problem("no"))
    assert (1, False) == file.note_failure(stays), "also where nothing is under way, or the disk is full"
    file.note(BEGUN, "begun")
    failures = (stays, stays, passes, for_good, stays, other, other)
    assert [1, 2, 0, 0, 3, 4, 5] == [file.note_failure(each).attempts for each in failures]
    file.note(BEGUN, "registered", failure=None)
    assert (0, False) == file.note_failure(passes)


def test_a_failure_is_repeated_where_step_and_problem_are_those_of_the_last_one(tmp_path: Path) -> None:
    file = JournalFile(tmp_path)
    file.note(BEGUN, "begun")
    no, otherwise, elsewhere = (
        ProvisioningError(step, Problem(says)) for step, says in ((HOOK, "no"), (HOOK, "NO"), (POLICY, "no"))
    )
    failures = (no, no, otherwise, elsewhere, elsewhere, no)
    assert [False, True, False, False, True, False] == [file.note_failure(each).repeated for each in failures]


def test_an_outage_leaves_alone_when_the_last_failure_that_counts_was_and_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = JournalFile(tmp_path)
    file.note(BEGUN, "begun")
    for now, error in ((1.0, ProvisioningError(HOOK, Problem("no"))), (2.0, ProvisioningError(CONNECT, Problem("-")))):
        monkeypatch.setattr("defender_publisher.provisioning.journal.time.time", lambda now=now: now)
        file.note_failure(error)
    assert (found := file.read()) is not None
    assert Failure("connect", "connect: -", "", 2.0, False, 1, 1.0, "hook: no") == found.failure


def test_a_failure_that_an_earlier_release_noted_is_read(tmp_path: Path) -> None:
    file = JournalFile(tmp_path)
    failure = {"step": "hook", "says": "no", "advice": "", "time": 1.0, "final": False}
    document = {"purpose": "claim", "slot": "a", "endpoint": "e", "asked_for": "t", "failure": failure}
    file.path.write_text(json.dumps(document))
    assert (found := file.read()) is not None
    assert (found.failure is not None, 0) == (True, found.failure and found.failure.count)
