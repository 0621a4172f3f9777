"""The journal is whole or not there; what is damaged is set aside, and a device begins again."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from defender_publisher.errors import Problem
from defender_publisher.provisioning.errors import HOOK, ProvisioningError
from defender_publisher.provisioning.journal import Journal, JournalFile

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


def test_failures_that_do_not_pass_by_themselves_are_counted_until_something_is_achieved(tmp_path: Path) -> None:
    file = JournalFile(tmp_path)
    stays, passes = (ProvisioningError(HOOK, Problem("no"), passes=passes) for passes in (False, True))
    assert 1 == file.note_failure(stays), "also where nothing is under way, or the disk is full"
    file.note(BEGUN, "begun")
    assert [1, 1, 2, 3] == [file.note_failure(each) for each in (stays, passes, stays, stays)]
    file.note(BEGUN, "registered", failure=None)
    assert 0 == file.note_failure(passes)


def test_a_failure_that_an_earlier_release_noted_is_read(tmp_path: Path) -> None:
    file = JournalFile(tmp_path)
    failure = {"step": "hook", "says": "no", "advice": "", "time": 1.0, "final": False}
    document = {"purpose": "claim", "slot": "a", "endpoint": "e", "asked_for": "t", "failure": failure}
    file.path.write_text(json.dumps(document))
    assert (found := file.read()) is not None
    assert (found.failure is not None, 0) == (True, found.failure and found.failure.count)
