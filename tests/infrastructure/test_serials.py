from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3")

from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.serials import Serial, read_serials  # noqa: E402

LONG = "a" * 128


def read(path: Path, content: str | bytes) -> tuple[Serial, ...]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_serials(path).serials


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serials.csv"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a1\nB2\n", [Serial("a1"), Serial("B2")]),
        ("a1", [Serial("a1")]),
        ("\ufeffa1\r\n\r\nb2\r\n", [Serial("a1"), Serial("b2")]),
        ("a1\nb2\n".encode("utf-16"), [Serial("a1"), Serial("b2")]),
        ("# exported\n\na1  # on the roof\n   \nb2\t\n", [Serial("a1"), Serial("b2")]),
        (f"{LONG}\n", [Serial(LONG)]),
        ("100000007654e321\n12e45678\n", [Serial("100000007654e321"), Serial("12e45678")]),
        ("serial-0001\nserial-0002\n", [Serial("serial-0001"), Serial("serial-0002")]),
        ("Serial Number\n0001\n", [Serial("0001")]),
        ("Serial Number;Thing Name\n0001;roof\n0002;\n", [Serial("0001", "roof"), Serial("0002")]),
        ('Model,Serial No.,Sold to\nX,0001,"Smith, J"\nY,0002,Müller\n', [Serial("0001"), Serial("0002")]),
        (
            'thing,serial,again\nroof,"=""0001""",\n,0002,again 2026\n',
            [Serial("0001", "roof"), Serial("0002", "", "again 2026")],
        ),
        ("Device Serial\n0001\n", [Serial("0001")]),
        ("Device Serial Number\n0001 roof\n", [Serial("0001", "roof")]),
        ("serial thing again\n0001 roof again\n", [Serial("0001", "roof", "again")]),
        ("name serial\nroof 0001\n", [Serial("0001", "roof")]),
        ("hw_serial\n0001\n0002\n", [Serial("0001"), Serial("0002")]),
        ("Serial # (S/N)\n0001\n", [Serial("0001")]),
        ("Modell;Seriennummer;Thing (AWS)\nX;0001;roof\n", [Serial("0001", "roof")]),
        ("Num\u00e9ro de s\u00e9rie,Site\n0001,Lyon\n", [Serial("0001")]),
        ("Series,Asset Serial\nX,0001\n", [Serial("0001")]),
        ("serial-1,roof\nserial-2,cellar\n", [Serial("serial-1", "roof"), Serial("serial-2", "cellar")]),
        ("alpha\nbeta\ngamma2\n", [Serial("alpha"), Serial("beta"), Serial("gamma2")]),
        ("A1\nroof\nb2\n", [Serial("A1"), Serial("roof"), Serial("b2")]),
        ("serial\nalpha roof\nbeta cellar\n", [Serial("alpha", "roof"), Serial("beta", "cellar")]),
        ("sn\n0001,roof,again\n0002 again\n", [Serial("0001", "roof", "again"), Serial("0002", "", "again")]),
        ("serial,thing\nalpha,roof\nbeta,cellar\n", [Serial("alpha", "roof"), Serial("beta", "cellar")]),
        ("alpha,roof1\nbeta,cellar\n", [Serial("alpha", "roof1"), Serial("beta", "cellar")]),
        ("serial\nalpha\nb2\nc3\n", [Serial("alpha"), Serial("b2"), Serial("c3")]),
        ("alpha\nbeta\n", [Serial("alpha"), Serial("beta")]),
        ("alpha\n", [Serial("alpha")]),
        ('"0001","roof"\n', [Serial("0001", "roof")]),
        ('="0001"\n', [Serial("0001")]),
        ("0001\troof\tagain\n", [Serial("0001", "roof", "again")]),
        ("0001 again\n", [Serial("0001", "", "again")]),
        ("0001,again\n", [Serial("0001", "", "again")]),
        ("0001,,Again  the SD card died\n", [Serial("0001", "", "again the sd card died")]),
        ("0001 roof again 2026-11-30\n", [Serial("0001", "roof", "again 2026-11-30")]),
        ("SN/2024.1 roof\n", [Serial("SN/2024.1", "roof")]),
        (",,\n;;\n0001,,\n", [Serial("0001")]),
    ],
)
def test_lists_of_strangers_are_read(path: Path, content: str | bytes, expected: list[Serial]) -> None:
    assert expected == list(read(path, content))


def test_a_line_that_is_there_twice_is_taken_once_and_said(path: Path) -> None:
    path.write_text("a1\nb2\na1\n")
    found = read_serials(path)
    assert ((Serial("a1"), Serial("b2")), (f'{path} line 3: "a1" is on line 1, too, and taken once',)) == (
        found.serials,
        found.notes,
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "names no serial: write one per line, 10000000abcdef01 for instance"),
        ("serial,thing\n", "names no serial"),
        ("a1\nA1\n", 'line 2: "A1" differs from "a1" on line 1 only in case'),
        ("a1 roof\na1 cellar\n", 'line 2: "a1" is on line 1, too, with another thing or another `again`'),
        ("a1\na1 again\n", 'line 2: "a1" is on line 1, too, with another thing or another `again`'),
        ("a1 roof\nb2 roof\n", 'line 2: the thing "roof" is that of line 1, too'),
        ("g\u00e4rten\n", 'line 1: "g\\u00e4rten" has characters other than the printable ones of ASCII, or a space'),
        ('"a 1",roof\n', 'line 1: "a 1" has characters other than the printable ones of ASCII, or a space'),
        ("g\u00e4rten\n".encode("latin-1"), "line 1: must be text in UTF-8; export it as CSV UTF-8"),
        (f"{LONG}b\n", " has 129 characters, and may have 128"),
        ("1.00001E+11\n", 'line 1: "1.00001E+11" was rounded by a spreadsheet: format the column as text'),
        ("1E+15\n", 'line 1: "1E+15" was rounded by a spreadsheet: format the column as text'),
        ("SN/1\n", "line 1: \"SN/1\" cannot be part of a thing's name (a-z A-Z 0-9 : _ -): write the thing's name"),
        ("a1 on.roof\n", 'line 1: the thing\'s name "on.roof" must be 1 to 128 of the characters a-z A-Z 0-9 : _ -'),
        ("a1,roof,yes\n", 'line 1: "yes" must be `again`, with a date or a reason after it if you like'),
        ("a1,roof,,x\n", "line 1: has 4 columns; give the table a first line that calls one of them serial"),
        (
            "device\nb2\nc3\n",
            'line 1: "device" may be a heading, because it is the only one without a digit: call the column of the '
            "serials serial; if it is a serial, write a line before it that says serial",
        ),
        ("device\nb2\n", 'line 1: "device" may be a heading, because'),
        ("\n# exported\nHostname,Id\nb2,roof\nc3,cellar\n", 'line 3: "Hostname" may be a heading, because'),
        (
            "model,thing\nalpha,roof\nbeta,cellar\n",
            'line 1: "model" may be a heading, because there is no digit in its line, and more than one column below: '
            "call the column of the serials serial; if it is a serial, write a line before it that says serial",
        ),
        ("model;thing\nalpha;\nb2;cellar\n", 'line 1: "model" may be a heading, because there is no digit in its line'),
        ("device\nalpha roof\nb2 cellar\n", 'line 1: "device" may be a heading, because there is no digit in its line'),
        (
            'a1,roof\n"' + "b" * 131_073 + '",cellar\n',
            "line 2: cannot be read as CSV (field larger than field limit (131072)): check its quotes, and that ",
        ),
        ("serial,thing\n,roof\n", 'line 2: has no serial, but "roof"'),
    ],
)
def test_what_is_no_serial_is_said_in_one_sentence(path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(DeployError, match=re.escape(says)) as raised:
        read(path, content)
    assert 1 == len(str(raised.value).splitlines())


def test_of_many_problems_the_first_are_said(path: Path) -> None:
    with pytest.raises(DeployError, match="\nand 10 more lines$") as raised:
        read(path, "".join(f"a/{number}\n" for number in range(30)))
    assert 21 == len(str(raised.value).splitlines())


def test_a_list_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="cannot be read: Is a directory"):
        read_serials(tmp_path)
    with pytest.raises(DeployError, match=r"there is no .*none: write one serial per line into it"):
        read_serials(tmp_path / "none")
