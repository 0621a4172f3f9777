"""A wish is open until the thing uses a certificate from after it, and a removal ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender_detect.authority.renewals import Renewed
from defender_detect.authority.wishes import Wishes, note_removal, read_wishes, wish_text, write_wishes
from defender_detect.errors import AuthorityError


def test_a_wish_is_fulfilled_by_a_certificate_from_after_it() -> None:
    wishes = Wishes().wanting(["a", "b"], 100.9)
    assert [100, 100, None] == [wishes.open_for(each, Renewed()) for each in "abc"]
    assert [100, None, None] == [wishes.open_for("a", Renewed(committed=at)) for at in (99, 100, 101)]
    assert 200 == wishes.wanting(["a"], 200.0).open_for("a", Renewed(committed=101))


def test_a_removal_ends_a_wish_and_covers_what_was_issued_until_then() -> None:
    wishes = Wishes().wanting(["a", "b"], 100.0).removing("a", 100.5)
    assert [None, 100] == [wishes.open_for(each, Renewed()) for each in "ab"]
    assert [True, False] == [wishes.covers("a", issued) for issued in (100_500_000, 100_500_001)]
    assert not wishes.covers("b", 0)


def test_a_removal_is_noted_when_it_is_written_and_only_where_things_renew_over_the_air(tmp_path: Path) -> None:
    path = tmp_path / "over-the-air.json"
    note_removal(path, "a", 5.0)
    assert not path.exists()
    write_wishes(path, Wishes())
    note_removal(path, "a", 5.0)
    assert read_wishes(path).covers("a", 1_000_000_000_000_000)  # 2001, long after the 5.0 of a command that hung


def test_a_file_that_is_missing_or_damaged_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "over-the-air.json"
    with pytest.raises(AuthorityError, match=r"run amazon-defender-detect init --renewal "):
        read_wishes(path)
    path.write_text('{"wanted": {"a": "yesterday"}}')
    with pytest.raises(AuthorityError, match=r"is damaged; restore it from a backup: wanted\.") as caught:
        read_wishes(path)
    assert "\n" not in str(caught.value)


def test_a_shadow_has_the_moment_as_text() -> None:
    assert "2026-11-30T12:00:00Z" == wish_text(1796040000)
