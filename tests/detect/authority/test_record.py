"""The record knows every certificate that was issued, and says when it is damaged."""

from __future__ import annotations

import json
import stat

import pytest

from defender_detect.authority.record import Issued, Record, date, read_record, write_record
from defender_detect.errors import AuthorityError

OLD = Issued(thing="rpi-0001", serial="0A", issued=1, ends=10, bundle="/a.tar", complete=True)
NEW = Issued(thing="rpi-0001", serial="0B", issued=2, ends=20, bundle="/a.tar", complete=True)
LEFT = Issued(thing="rpi-0002", serial="0C", issued=3, ends=30)


def test_the_newest_certificate_that_was_handed_over_is_the_current_one():
    record = Record().adding(OLD).adding(NEW).adding(LEFT)
    assert (record.current("rpi-0001"), record.current("rpi-0002"), record.current("x")) == (NEW, None, None)
    assert record.things() == ["rpi-0001"]
    after = record.changing(lambda each: each.thing == "rpi-0001", removed=5)
    assert (after.current("rpi-0001"), [each.serial for each in after.revoked()]) == (None, ["0A", "0B"])
    assert after.of("rpi-0002") == [LEFT]


def test_what_is_kept_is_read_again_and_only_the_owner_reads_it(tmp_path):
    record = Record().adding(OLD).adding(LEFT)
    write_record(tmp_path / "issued.json", record)
    assert read_record(tmp_path / "issued.json") == record
    assert stat.S_IMODE((tmp_path / "issued.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is damaged; restore it from a backup"),
        (b"\xff", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b"[]", "the record must be an object"),
        (b'{"certificates": [{"thing": "a"}]}', "certificates[0].serial is missing"),
        (b'{"certificates": [7, {}]}', "certificates[1].thing is missing"),
        (b'{"certificates": [], "more": 1}', "more is not a known key"),
        (json.dumps({"certificates": [{"thing": "a", "serial": "xyz", "issued": 1, "ends": 2}]}).encode(), "serial"),
        (
            b'{"certificates": [{"thing": "a", "serial": "0A\\n", "issued": 1, "ends": 2}]}',
            "certificates[0].serial must be",
        ),
    ],
)
def test_a_damaged_record_is_said(tmp_path, content, said):
    (tmp_path / "issued.json").write_bytes(content)
    with pytest.raises(AuthorityError) as caught:
        read_record(tmp_path / "issued.json")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_record_it_says_what_makes_one(tmp_path):
    with pytest.raises(AuthorityError, match="run amazon-defender-detect init, or restore it from a backup"):
        read_record(tmp_path / "issued.json")


def test_a_day_beyond_a_time_t_of_32_bits_is_a_day():
    assert date(2_524_607_999) == "2049-12-31"
