"""What things got over the air survives as it was written, and a damaged file is said with what to do."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from defender_detect.authority.renewals import (
    FILE_NAME,
    NOT_REGISTERED,
    REPLACED,
    Registered,
    Renewals,
    Renewed,
    read_renewals,
    write_renewals,
)
from defender_detect.errors import AuthorityError

FIRST = Registered(serial="A1", issued=1_000_000, ends=10, by="99")
SECOND = Registered(serial="B2", issued=2_000_000, ends=10)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert Renewals() == read_renewals(tmp_path)
    renewals = Renewals().with_thing("a", Renewed(registered=SECOND, in_force=FIRST, committed=1))
    write_renewals(tmp_path, renewals)
    assert renewals == read_renewals(tmp_path)
    assert 0o600 == stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"things": {"a": {"in_force": {"serial": "zz"}}}}', "{" * 5000, '{"x": 1}']
)
def test_a_damaged_file_is_said_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(AuthorityError, match=f"{FILE_NAME} is damaged; restore it from a backup, or ") as caught:
        read_renewals(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("renewed", "serial", "is_over_the_air", "issued", "reason"),
    [
        (Renewed(), "C3", False, 5.0, None),
        (Renewed(), "C3", True, 5.0, NOT_REGISTERED),
        (Renewed(registered=FIRST), "A1", True, 1.0, None),
        (Renewed(registered=FIRST), "C3", False, 0.0, None),
        (Renewed(in_force=FIRST, committed=3), "A1", True, 1.0, None),
        (Renewed(in_force=FIRST, committed=3), "B2", True, 2.0, NOT_REGISTERED),
        (Renewed(in_force=FIRST, committed=3), "C3", False, 2.0, REPLACED),
        (Renewed(in_force=FIRST, committed=3), "99", False, 3.0, REPLACED),
        (Renewed(in_force=FIRST, committed=3), "C3", False, 3.0, None),
    ],
)
def test_who_is_let_in(renewed: Renewed, serial: str, is_over_the_air: bool, issued: float, reason: str | None) -> None:
    assert reason == renewed.reason_against(serial, is_over_the_air, issued)


def test_the_latest_is_the_last_that_was_registered() -> None:
    assert [0, 1_000_000, 2_000_000] == [
        each.latest for each in (Renewed(), Renewed(in_force=FIRST), Renewed(in_force=FIRST, registered=SECOND))
    ]
