from __future__ import annotations

from pathlib import Path

import pytest

from tests.infrastructure.deployer import skip_without

skip_without()

from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.things import read_things  # noqa: E402

LONGEST = "x" * 128


@pytest.fixture
def things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("things.txt")


def problems_of(path: Path) -> list[str]:
    with pytest.raises(DeployError) as raised:
        read_things(path)
    return str(raised.value).splitlines()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"rpi-0001\nrpi-0002\n", ("rpi-0001", "rpi-0002")),
        (b"b\na", ("b", "a")),
        (b"\n  a  \n\t\nb\n\n", ("a", "b")),
        (b"# the lab\na # behind the door\n   # none\nb\t#x\n", ("a", "b")),
        (b"\xef\xbb\xbfa\r\nb\r\n", ("a", "b")),
        (b"\xef\xbb\xbf# a\r\nb\r\n", ("b",)),
        (b"a\rb\r", ("a", "b")),
        (b"A:b_c-9\n", ("A:b_c-9",)),
        (LONGEST.encode(), (LONGEST,)),
    ],
)
def test_names_are_read_in_the_order_of_the_file(things: Path, content: bytes, expected: tuple[str, ...]) -> None:
    things.write_bytes(content)
    assert expected == read_things(things)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a b\n", 'things.txt line 1: "a b" has characters other than a-z A-Z 0-9 : _ -'),
        ("\n\na#1\n", 'things.txt line 3: "a#1" has characters other than a-z A-Z 0-9 : _ -'),
        ("x\n../y\n", 'things.txt line 2: "../y" has characters other than a-z A-Z 0-9 : _ -'),
        ("größe\n", 'things.txt line 1: "größe" has characters other than a-z A-Z 0-9 : _ -'),
        ("a\u2028b\n", 'things.txt line 1: "a\u2028b" has characters other than a-z A-Z 0-9 : _ -'),
        ("\u0661\n", 'things.txt line 1: "\u0661" has characters other than a-z A-Z 0-9 : _ -'),
        (f"{LONGEST}y\n", f'things.txt line 1: "{"x" * 40}..." has 129 characters, and may have 128'),
        ("a\nb\na # again\n", 'things.txt line 3: "a" is on line 1, too'),
        (
            "rpi\n\nRPI\n",
            'things.txt line 3: "RPI" differs from "rpi" on line 1 only in case, '
            "and the file systems of Macs cannot keep the files of both apart",
        ),
    ],
)
def test_a_wrong_name_is_told_with_its_line(things: Path, content: str, expected: str) -> None:
    things.write_text(content, encoding="utf-8")
    with pytest.raises(DeployError) as raised:
        read_things(things)
    assert expected == str(raised.value)


def test_all_wrong_names_are_told_at_once(things: Path) -> None:
    things.write_text("a b\nc\nC\nc\nd!\n")
    assert ["1", "3", "4", "5"] == [line.split(":")[0].rpartition(" ")[2] for line in problems_of(things)]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# nothing yet\n", b"\xef\xbb\xbf"])
def test_a_file_without_a_name_is_refused(things: Path, content: bytes) -> None:
    things.write_bytes(content)
    assert ["things.txt names no thing: write one name per line, rpi-0001 for instance"] == problems_of(things)


def test_a_missing_file_is_told_with_what_to_do(things: Path) -> None:
    expected = "there is no things.txt: write one thing name per line into it, or name another file with --things"
    assert [expected] == problems_of(things)


def test_a_directory_is_refused(things: Path) -> None:
    things.mkdir()
    assert ["things.txt cannot be read: Is a directory"] == problems_of(things)


@pytest.mark.parametrize("content", [b"a\nb\n\xff\n", "a\nb\nc\n".encode("utf-16")])
def test_another_encoding_is_told_with_its_line(things: Path, content: bytes) -> None:
    things.write_bytes(content)
    expected = 3 if content.startswith(b"a") else 1
    assert [f"things.txt line {expected}: must be text in UTF-8"] == problems_of(things)
