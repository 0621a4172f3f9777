"""Expiry: what ends within eight weeks is said with what to do about it, and nothing before."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

pytest.importorskip("cryptography")

from defender_detect.authority import things
from defender_detect.authority.directory import Directory
from defender_detect.authority.expiry import ANOTHER, Ending, own_endings, soon, thing_endings
from defender_detect.authority.initialization import Wish
from defender_detect.authority.record import read_record, write_record
from defender_detect.authority.things import Wanted
from tests.detect.authority.home import NO_PHRASE, NOW, make

BEGINS, DAY = datetime(2026, 1, 1), timedelta(days=1)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (57 * DAY, []),
        (56 * DAY - timedelta(seconds=1), ["the certificate of rpi-0001 ends in 55 days: renew it"]),
        (timedelta(hours=1), ["the certificate of rpi-0001 ends in 0 days: renew it"]),
        (timedelta(0), ["the certificate of rpi-0001 ended on 2027-01-01: renew it"]),
    ],
)
def test_a_certificate_of_a_year_is_said_eight_weeks_before_its_end(left, said):
    ends = BEGINS + 365 * DAY
    assert soon([Ending("rpi-0001", BEGINS, ends, "renew it")], ends - left) == said


def test_one_that_was_never_to_last_is_said_in_its_last_third():
    ending = Ending("rpi-0001", BEGINS, BEGINS + 9 * DAY, "renew it")
    assert not soon([ending], BEGINS + 5 * DAY)
    assert soon([ending], BEGINS + 7 * DAY)


def test_what_ends_with_the_authority_needs_another_one_and_what_ends_before_is_renewed(tmp_path):
    directory = Directory(tmp_path / "home")
    make(directory.path, Wish(hosts=["localhost"], mosquitto=True))
    list(things.add(directory, Wanted("rpi-0001", 1, tmp_path / "a.tar"), NOW, NO_PHRASE))
    record = read_record(directory.record)
    endings = [*own_endings(directory), *thing_endings(directory, record)]
    assert [each.whose for each in endings] == ["the authority", "Detect", "mosquitto", "rpi-0001"]
    assert {each.remedy for each in endings} == {ANOTHER}
    write_record(directory.record, record.changing(lambda each: True, ends=int(NOW.timestamp()) + 86_400))
    (ending,) = thing_endings(directory, read_record(directory.record))
    assert ending.remedy == "run amazon-defender-detect renew rpi-0001"
    list(things.remove(directory, "rpi-0001", NOW, NO_PHRASE))
    assert list(thing_endings(directory, read_record(directory.record))) == []
