"""timeloop is a hundred lines that do not all do what one expects; here is what they do, and the rules that cope.

One section for each such behaviour. Its comment says it in words, and names the tests elsewhere that prove the rule
too. None of them passes without the rule.
"""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import timeloop

from defender_daemon import jobs as jobs_module
from demo.authority import Authority
from tests.fakes.scripted_broker import ScriptedBroker
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
PUBLISHER = ROOT / "amazon-defender-publisher"
DOCS = " ".join(" ".join(path.read_text() for path in sorted((ROOT / "docs").rglob("*.md"))).split())
LONG = 3600.0  # seconds until what is not to happen during a test


class Transport:
    """Keeps connected, and remembers when."""

    first_delay = 0.0

    def __init__(self) -> None:
        self.connected_at: list[float] = []

    def keep_connected(self) -> float:
        self.connected_at.append(time.monotonic())
        return LONG


class Publisher:
    """Looks and reports, and remembers when."""

    looks_between = True

    def __init__(self) -> None:
        self.looked_at: list[float] = []
        self.reported_at: list[float] = []

    def first_delay(self) -> float:
        return 0.4

    def look(self) -> float:
        self.looked_at.append(time.monotonic())
        return LONG

    def report(self) -> float:
        self.reported_at.append(time.monotonic())
        return LONG


class Beats:
    """A guard with a watchdog that remembers in how many seconds each heartbeat said that the job is due again."""

    def __init__(self) -> None:
        self.watchdog = self
        self.due_in: list[float] = []

    def beat(self, job: object, due_in: float) -> None:
        self.due_in.append(due_in)


@pytest.fixture
def beats() -> Beats:
    return Beats()


@pytest.fixture
def started() -> Iterator[list[Any]]:
    """The jobs that a test started; they are ended after it."""
    jobs: list[Any] = []
    yield jobs
    jobs_module.stop_jobs(jobs, 2.0)


@pytest.fixture
def start_all(publisher_script: ModuleType, started: list[Any], beats: Beats) -> Callable[..., list[Any]]:
    """Start the publisher's jobs, of a publisher and a transport that do nothing unless others are given."""

    def start_all(publisher: Publisher | None = None, transport: Transport | None = None) -> list[Any]:
        jobs = list(publisher_script.start_jobs(publisher or Publisher(), transport or Transport(), beats))
        started.extend(jobs)
        return jobs

    return start_all


# A job runs first one interval after the start. So each job's first interval is how soon it is due: at once for the
# connection and the look, and when the schedule says for the report.


def test_the_first_connect_and_the_first_look_come_at_once_and_the_first_report_when_it_is_due(
    start_all: Callable[..., list[Any]], beats: Beats
) -> None:
    publisher, transport, began = Publisher(), Transport(), time.monotonic()
    start_all(publisher, transport)
    assert wait_until(lambda: transport.connected_at and publisher.looked_at and publisher.reported_at)
    assert [0.0, 0.0, 0.4] == beats.due_in[:3]  # of the connection, the look and the report: in how many seconds
    assert publisher.reported_at[0] - began >= 0.4


# The period is the interval plus the run's time, and `interval` is read at each wait. So each run sets it to what is
# left until the next. (Also: the next report is due an interval after this one was sent, in test_publisher.)


# An exception ends that job's thread without a word, while the process lives on. So a run never raises, and leaves a
# heartbeat, which the watchdog misses if there is none. (Also: all of test_watchdog.)


# stop() waits for its jobs without limit. So they are told to stop, all of them first, and waited for together, for a
# few seconds. (Also: SIGTERM ends the daemon within five seconds whatever the network does, in test_script.)


# start(block=True) polls once a second and installs its own handlers of SIGTERM and SIGINT. So it is started without
# blocking, and the main thread sleeps until a signal comes. (Also: SIGHUP takes a valid configuration, in test_script.)


def test_the_jobs_are_started_without_blocking(
    start_all: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocking: list[bool] = []

    class Noted(timeloop.Timeloop):
        def start(self, block: bool = False) -> None:
            blocking.append(block)
            super().start(block=False)  # one that blocks would hold up the test

    monkeypatch.setattr(timeloop, "Timeloop", Noted)
    start_all()
    assert [False] == blocking


@pytest.fixture
def daemon(
    authority: Authority, write_config: Callable[..., Path], start: Callable[..., subprocess.Popen[str]]
) -> Iterator[subprocess.Popen[str]]:
    """A daemon that is connected, and reports soon, and then not for a long time."""
    files = authority.issue("broker", ["localhost"])
    broker = ScriptedBroker(files.certificate, files.private_key, authority.certificate)
    with closing(broker):
        process = start(sys.executable, PUBLISHER, write_config(broker.port, publish_interval=300))
        assert wait_until(lambda: len(broker.seen.subscriptions) == 2)
        yield process


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_idle_daemons_main_thread_sleeps_and_its_jobs_write_nothing_of_timeloop(
    daemon: subprocess.Popen[str],
) -> None:
    def wake_ups() -> int:
        status = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/status").read_text()
        return int(re.findall(r"(?m)^voluntary_ctxt_switches:\s+(\d+)", status)[0])

    def sleeps() -> bool:
        before = wake_ups()
        time.sleep(2.2)
        return wake_ups() - before <= 1  # 2 or 3 if it polled once a second

    assert wait_until(sleeps)  # at first it still starts the jobs
    daemon.send_signal(signal.SIGTERM)
    output, _ = daemon.communicate(timeout=60)
    assert 0 == daemon.returncode
    assert "imeloop" not in output
    assert "Registered job" not in output


# Each Timeloop gives the logger "timeloop" one more handler, which writes to standard output, and sets it to INFO. So
# there is one Timeloop, and the handlers are taken away again, each time the configuration is read again too.


def test_timeloop_logs_nothing_to_standard_output_however_often_the_jobs_are_started(
    start_all: Callable[..., list[Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        start_all()
    assert [] == logging.getLogger("timeloop").handlers
    assert not logging.getLogger("timeloop").isEnabledFor(logging.INFO)
    assert "" == capfd.readouterr().out


def test_there_is_one_timeloop_for_all_jobs(
    start_all: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[timeloop.Timeloop] = []

    class Counted(timeloop.Timeloop):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr(timeloop, "Timeloop", Counted)
    start_all()
    assert 1 == len(made)
    assert 3 == len(made[0].jobs)


# Its only wheel is for Python 2. So an install without a network needs one that was built before, as docs/ says.


def test_the_readme_says_what_an_install_without_a_network_needs() -> None:
    assert "pip wheel" in DOCS
    assert "timeloop has no wheel for Python 3" in DOCS
