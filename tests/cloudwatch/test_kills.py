"""No line is lost, and none comes twice, whenever the program is killed and the log rotated."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cloudwatch.trial import Trial, by_copy, by_create, by_name
from tests.fakes.emulator import Account


def test_three_kills_and_two_rotations_lose_nothing(tmp_path: Path, account: Account) -> None:
    outcome = Trial(tmp_path, account).run(600, 3, 2, by_name)
    assert (0, 0, True) == (outcome.lost, outcome.twice, outcome.in_order), (tmp_path / "output").read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_five_kills_and_fifteen_rotations_lose_nothing(tmp_path: Path, account: Account) -> None:
    outcome = Trial(tmp_path, account).run(6_000, 25, 15, by_name)
    assert (0, 0, True) == (outcome.lost, outcome.twice, outcome.in_order), (tmp_path / "output").read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_lines_that_come_into_a_renamed_file_are_not_lost_by_kills(tmp_path: Path, account: Account) -> None:
    trial = Trial(tmp_path, account)
    trial.late, trial.life = 15, 3.0  # of 20 lines in a file, so slowly that looks find nothing new in between
    outcome = trial.run(100, 3, 4, by_create)
    assert (0, 0, True) == (outcome.lost, outcome.twice, outcome.in_order), (tmp_path / "output").read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_log_that_is_copied_and_cut_after_a_rest_loses_nothing(tmp_path: Path, account: Account) -> None:
    outcome = Trial(tmp_path, account).run(600, 0, 2, by_copy)
    assert (0, 0, True) == (outcome.lost, outcome.twice, outcome.in_order), (tmp_path / "output").read_text()
