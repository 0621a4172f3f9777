"""A certificate of Detect's own that ends soon is said weeks before, once a day, with what renews it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("cryptography")

from defender_daemon.certificate import SOON
from defender_detect import reminder
from defender_detect.authority.certificates import Issuer, Validity, new_key, pem_of, sign_itself
from defender_detect.config import Config
from defender_detect.reminder import Reminder, ends_soon, own_certificates, remedy
from demo.authority import Authority

DAY = 86_400.0
BEGIN, END = datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2030, 1, 1, tzinfo=timezone.utc)
ENDS = END.timestamp()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A certificate of four years."""
    made, key = tmp_path / "detect.pem", new_key()
    made.write_bytes(pem_of(Issuer(sign_itself("a", key, Validity(BEGIN, END)), key).certificate))
    return made


def test_the_log_reminds_once_a_day_of_a_certificate_that_ends_soon(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path / "ca")
    now = datetime.now(timezone.utc)
    soon = authority.issue("detect", ["localhost"], now - timedelta(days=99), now + timedelta(days=30, hours=1))
    later = authority.issue("other", ["localhost"])
    reminding = reminder.Reminder([soon.certificate, later.certificate, authority.certificate])  # which lasts a day
    for hours in (0, 1, 23):
        reminding.look(now.timestamp() + hours * 3600)
    (line,) = (each.getMessage() for each in caplog.records)
    assert line.startswith(f"the certificate {soon.certificate} is valid for 30 days more, until")
    reminding.look(now.timestamp() + 25 * 3600)
    assert len(caplog.records) == 3  # and the authority that was for a day has ended
    assert "has ended" in reminder.ends_soon(soon.certificate, now.timestamp() + 31 * DAY)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (SOON + DAY, ""),
        (SOON - DAY, "is valid for 55 days more, until 2030-01-01 00:00 UTC"),
        (3600.0, "is valid for 1 hours more"),
        (0.0, "has ended"),
        (-DAY, "has ended"),
    ],
)
def test_it_is_said_from_eight_weeks_before_the_end_on(path: Path, left: float, said: str) -> None:
    found = ends_soon(path, ENDS - left)
    assert (said in found, bool(said)) == (True, bool(found))
    assert not found or found.startswith(f"the certificate {path} ")


def test_what_is_missing_or_no_certificate_is_not_the_reminders_to_say(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_bytes(b"\xff no certificate")
    assert "" == ends_soon(tmp_path / "x.pem", 0) == ends_soon(tmp_path / "none.pem", 0) == ends_soon(tmp_path, 0)


def test_who_issued_it_is_known_where_the_authority_lies_beside() -> None:
    ours = remedy(Path("/etc/amazon-defender-detect/detect.pem"))
    assert (
        "run amazon-defender-detect renew --server --directory /etc/amazon-defender-detect, and restart Detect" == ours
    )
    assert "issue another one, and restart Detect" == remedy(Path("/etc/other.pem"))


def test_a_clock_that_is_set_back_reminds_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reminding = Reminder([path])
    for now, number in ((ENDS - 5 * DAY, 1), (ENDS - 4 * DAY - 1, 1), (ENDS - 4 * DAY, 2), (ENDS - 9 * DAY, 3)):
        reminding.look(now)
        assert number == len(caplog.records)
    Reminder([]).look(ENDS)
    assert 3 == len(caplog.records)


def test_its_own_certificates_are_those_that_the_configuration_names() -> None:
    def named(**files: Any) -> list[Path]:
        authentication = msgspec.structs.replace(Config().agent.authentication, **files)
        return own_certificates(Config(agent=msgspec.structs.replace(Config().agent, authentication=authentication)))

    assert [] == named(private_key="k")
    assert [Path("c")] == named(certificate="c")
    assert [Path("c"), Path("r")] == named(certificate="c", root_ca="r")
