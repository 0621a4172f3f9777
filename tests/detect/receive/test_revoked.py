"""The list of who is shut out is read when it changes, and one that is wrong changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from defender_detect.errors import CredentialsError
from defender_detect.receive.gate import Peer
from defender_detect.receive.revoked import Revoked

STOLEN, OTHER = Peer("rpi-1", 0xA1B2), Peer("rpi-2", 0xC3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "revoked.txt"


@pytest.mark.parametrize(
    ("content", "stolen", "other"),
    [
        ("", False, False),
        ("# nobody\n\n   \n", False, False),
        ("thing rpi-1\n", True, False),
        ("thing rpi-1   # stolen in May\r\nserial C3", True, True),
        ("\ufeffthing rpi-2\n", False, True),
        ("serial a1:b2\n", True, False),
        ("serial 0000A1B2\n", True, False),
        ("serial A1B", False, False),
        ("thing rpi\nthing RPI-1\n", False, False),
    ],
)
def test_a_thing_or_a_certificate_is_shut_out(content: str, stolen: bool, other: bool, path: Path) -> None:
    path.write_text(content, encoding="utf-8")
    revoked = Revoked(path)
    assert (stolen, other) == (revoked.covers(STOLEN), revoked.covers(OTHER))


def test_without_the_file_nobody_is_shut_out(path: Path) -> None:
    assert not Revoked(path).covers(STOLEN)


def test_detect_cannot_shut_itself_out(path: Path) -> None:
    path.write_text("thing detect\nserial 1\n")
    assert not Revoked(path).covers(Peer("detect", 1, is_detect=True))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("rpi-1", 1),
        ("thing", 1),
        ("thing rpi-1\nserial xyz", 2),
        ("serial :", 1),
        ("certificate A1", 1),
        ("serial -1", 1),
    ],
)
def test_a_line_that_is_wrong_is_said_with_what_would_be_right(content: str, line: int, path: Path) -> None:
    path.write_text(content)
    with pytest.raises(CredentialsError) as caught:
        Revoked(path)
    expected = f"{path}, line {line}: must be `thing NAME` or `serial HEX`, got '{content.splitlines()[-1]}'"
    assert expected == str(caught.value)


@pytest.mark.parametrize("prepare", [lambda path: path.write_bytes(b"thing \xff\n"), Path.mkdir, os.mkfifo])
def test_what_is_no_text_file_is_said(prepare: object, path: Path) -> None:
    prepare(path)  # type: ignore[operator]
    if path.is_fifo():
        assert not Revoked(path).covers(STOLEN)  # it is empty, and nobody waits for it
        return
    with pytest.raises(CredentialsError, match="cannot be read: "):
        Revoked(path)


def test_the_list_is_read_again_when_it_changes(path: Path) -> None:
    revoked = Revoked(path)
    assert not revoked.refresh()
    path.write_text("thing rpi-1\n")
    assert revoked.refresh()
    assert revoked.covers(STOLEN)
    assert not revoked.refresh()
    replace(path, "thing rpi-2\n")
    assert revoked.refresh()
    assert (False, True) == (revoked.covers(STOLEN), revoked.covers(OTHER))
    path.unlink()
    assert revoked.refresh()
    assert not revoked.covers(OTHER)


def test_a_new_list_that_is_wrong_leaves_the_old_one(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("thing rpi-1\n")
    revoked = Revoked(path)
    replace(path, "thing rpi-1\nrpi-2\n")
    assert not revoked.refresh()
    assert revoked.covers(STOLEN)
    assert f"stays as it was: {path}, line 2: must be" in caplog.text
    assert not revoked.refresh()
    assert 1 == len(caplog.records)


def replace(path: Path, content: str) -> None:
    """Write a file as editors and programs do that want no half of it to be read."""
    new = path.with_suffix(".new")
    new.write_text(content)
    new.replace(path)
