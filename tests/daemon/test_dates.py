"""Dates are shown and read without the C library, and so beyond what a `time_t` of 32 bits holds."""

from __future__ import annotations

import random
import re
import signal
import ssl
import struct
import time
from pathlib import Path

import pytest

from defender_daemon import dates
from defender_daemon.certificate import validity
from defender_publisher.credentials import validity_problem
from demo.authority import CLOCK_SKEW, Authority
from tests.fakes import time_t
from tests.quick import quick
from tests.waiting import wait_until

END = 2524607999  # 2049-12-31 23:59:59 UTC, when the certificates of AWS IoT end
LARGEST = 2**36 if struct.calcsize("P") == 8 else 2**31 - 1  # what the C library of this machine surely takes
ROOT = Path(__file__).resolve().parents[2]
CALLS = re.compile(r"\b(gmtime|localtime|strftime|mktime|fromtimestamp|cert_time_to_seconds|ctime|asctime)\(")
# The moment at which something happens, in the time zone of whoever reads the log: no date that somebody else wrote.
LOCAL = {f"defender_publisher/{name}.py" for name in ("logs", "questions", "status")}
LOCAL |= {f"defender_detect/{name}.py" for name in ("store/pruning", "store/schema")}
LOCAL |= {"installers/device/verdict.py"}  # when the next report is due
LOCAL |= {"defender_detect/ask/tables.py"}  # which shows in UTC what lies beyond
LOCAL |= {f"defender_detect/console/{name}.py" for name in ("axis", "pages", "wording")}  # now, and what was kept


@pytest.fixture
def small_time_t(monkeypatch: pytest.MonkeyPatch) -> None:
    time_t.restrict(monkeypatch.setattr)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "1970-01-01 00:00:00 UTC"),
        (-0.5, "1969-12-31 23:59:59 UTC"),
        (1e9 + 0.999, "2001-09-09 01:46:40 UTC"),
        (2**31, "2038-01-19 03:14:08 UTC"),
        (END, "2049-12-31 23:59:59 UTC"),
        (253402300799, "9999-12-31 23:59:59 UTC"),  # a certificate without an end (RFC 5280, 4.1.2.5)
        (1e300, "9999-12-31 23:59:59 UTC"),
        (float("-inf"), "0001-01-01 00:00:00 UTC"),
        (float("nan"), "9999-12-31 23:59:59 UTC"),
    ],
)
def test_a_moment_is_shown_in_utc_whatever_it_is(small_time_t: None, seconds: float, expected: str) -> None:
    assert expected == dates.date_text(seconds)


def test_a_moment_is_shown_as_the_c_library_would_where_that_can() -> None:
    for seconds in (random.Random(1).uniform(-(2**31), LARGEST) for _ in range(2000)):
        seconds //= 1
        assert time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds)) == dates.date_text(seconds)


def test_the_other_forms_have_the_minute_or_go_into_a_files_name() -> None:
    assert "2049-12-31 23:59 UTC" == dates.minute_text(END)
    assert "20491231T235959Z" == dates.date_stamp(END + 0.25)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("Dec 31 23:59:59 2049 GMT", END),
        ("Jan  5 09:34:43 2018 GMT", 1515144883),
        ("Jan 17 00:00:00 2038 GMT", 2147299200),  # Amazon Root CA 1
        ("Dec 31 23:59:59 9999 GMT", 253402300799),
        ("Feb 29 12:00:00 2048 GMT", 2466590400),
        ("May  1 00:00:00.5 1950 GMT", -620784000),
    ],
)
def test_a_date_of_openssl_is_read(small_time_t: None, printed: str, expected: int) -> None:
    assert expected == dates.seconds_of(printed)


def test_a_date_of_openssl_is_read_as_the_standard_library_does() -> None:
    for seconds in (random.Random(2).randrange(0, LARGEST) for _ in range(500)):
        printed = time.strftime("%b %e %H:%M:%S %Y GMT", time.gmtime(seconds))
        assert ssl.cert_time_to_seconds(printed) == dates.seconds_of(printed)


@pytest.mark.parametrize("printed", ["Bad time value", "", "Okt  1 00:00:00 2030 GMT", "Feb 30 00:00:00 2030 GMT"])
def test_what_is_no_date_is_refused(printed: str) -> None:
    with pytest.raises(ValueError, match=r"is not a date|out of range|must be in range"):
        dates.seconds_of(printed)


def test_a_certificate_of_2049_is_valid_today_and_its_end_is_known(small_time_t: None, authority: Authority) -> None:
    before = int(time.time())
    certificate = str(authority.issue("of-2049").certificate)
    assert None is validity_problem(certificate)
    begins, ends = validity(certificate) or (0, 0)
    assert END == ends
    assert before <= begins + CLOCK_SKEW.total_seconds() <= time.time()
    assert f"the certificate {certificate} expired on 2049-12-31 23:59:59 UTC" in str(
        validity_problem(certificate, END + 1)
    )


def test_no_other_date_goes_through_the_c_library() -> None:
    houses = ("defender_publisher", "defender_detect", "installers/device", "infrastructure", "demo")
    paths = [path for house in houses for path in (ROOT / house).rglob("*.py")]
    paths += [ROOT / name for name in ("amazon-defender-publisher", "amazon-defender-detect", "deploy.py")]
    found = {str(path.relative_to(ROOT)) for path in paths if CALLS.search(path.read_text("utf-8"))}
    assert set() == found - LOCAL


def test_with_a_time_t_of_32_bits_the_configuration_is_checked_and_the_doctor_tells_the_end(
    run, write_config, free_port
) -> None:
    config = write_config(free_port)
    done = run("--check-config", config, env=time_t.environment())
    assert (0, "") == (done.returncode, done.stderr)
    done = run("--doctor", config, env=time_t.environment())
    assert re.search(r"^OK +valid today +for \d+ days more, until 2049-12-31 23:59 UTC$", done.stdout, re.MULTILINE)
    assert "Traceback" not in done.stdout + done.stderr


def test_with_a_time_t_of_32_bits_the_daemon_connects_and_reports(start, write_config, broker) -> None:
    daemon = start(*quick(write_config(broker.port)), env=time_t.environment())
    assert wait_until(lambda: broker.seen.publishes, 60)
    daemon.send_signal(signal.SIGTERM)
    printed, _ = daemon.communicate(timeout=60)
    assert 0 == daemon.returncode, printed
    assert "Traceback" not in printed


def test_detect_shows_the_time_that_a_replayed_report_claims(small_time_t: None) -> None:
    from defender_detect.ask.tables import show_time

    assert "2049-12-31 23:59:59 UTC" == show_time(END + 0.5)
    assert time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(2**31 - 1)) == show_time(2**31 - 1)
