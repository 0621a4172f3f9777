"""Outages of the network and of the nucleus: the component lives through the first, and ends once for the second."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from defender_daemon.backoff import LAST
from defender_daemon.notify import Notifier
from defender_daemon.watchdog import Guard, Watchdog
from defender_publisher.publisher import Publisher
from defender_publisher.schedule import patience_for
from defender_publisher.settings import read_settings
from defender_publisher.snapshot import Counters, CustomValue, Snapshot, Sockets
from defender_publisher.state import MemoryState
from defender_publisher.transports import open_transport
from tests.conftest import PUBLISHER
from tests.fakes.host import COUNTERS_ONLY, Host, growth_of
from tests.fakes.nucleus import TOKEN, Nucleus
from tests.publisher.conftest import EVERY_SECOND
from tests.waiting import PATIENCE, wait_until

HOUR = 3600.0  # seconds
INTERVAL = 300


class Day:
    """A publisher with its jobs and its watchdog on a clock of the test's, through the nucleus for real."""

    def __init__(self) -> None:
        self.now = 0.0
        agent = {"thing_name": "core-1", "publish_interval": INTERVAL, "authentication": {"method": "greengrass"}}
        agent["short_names"] = True
        settings = read_settings(None, {"agent": agent, "metrics": COUNTERS_ONLY})
        self.transport = open_transport(settings)
        publisher = Publisher(settings, self, self.transport, MemoryState(), clock=lambda: 1.7e9 + self.now)
        patience = patience_for(settings.config)
        self.guard = Guard(patience, Notifier(), self.transport)
        self.guard.watchdog = Watchdog(patience, clock=lambda: self.now)
        self.turns: dict[str, Callable[[], float]] = {
            "connect": self.transport.keep_connected,
            "report": publisher.report,
            "guard": self.guard.look,
        }
        self.due = dict.fromkeys(self.turns, 0.0)

    def look(self) -> Sockets:
        return Sockets()

    def snapshot(self, sockets: Sockets) -> Snapshot:
        """A thousand bytes and a packet come in each second."""
        seconds = int(self.now)
        return Snapshot(
            self.now,
            "boot",
            sockets,
            {"eth0": Counters(1000 * seconds, 0, seconds, 0)},
            {"one": CustomValue("number", 1)},
        )

    def until(self, end: float, met: Callable[[], object] = lambda: False) -> None:
        """Let the day pass until then, or until a condition is met."""
        while self.now < end and not met():
            job = min(self.due, key=lambda name: self.due[name])
            self.now = max(self.now, self.due[job])
            seconds = self.turns[job]()  # a HungError would be the end of the component
            self.due[job] = self.now + seconds
            if job != "guard":
                self.guard.watchdog.beat(job, seconds)  # type: ignore[arg-type]


@pytest.fixture
def in_a_component(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("in_a_component")
def test_a_day_without_a_network_or_a_nucleus_is_no_reason_to_end(nucleus: Nucleus) -> None:
    day = Day()
    day.until(HOUR, lambda: nucleus.published)
    began, first = day.now, len(nucleus.published)
    nucleus.online = False
    for hour in range(1, 9):  # AWS IoT is away, and the nucleus now and then hangs up
        nucleus.hang_up()
        day.until(hour * HOUR)
    assert first == len(nucleus.published)
    nucleus.stop()
    day.until(16 * HOUR)
    another = Nucleus(nucleus.path)
    another.online = False
    day.until(24 * HOUR)
    assert "" == day.transport.needs_restart
    another.online = True
    day.until(25 * HOUR, lambda: another.published)
    assert day.now - 24 * HOUR <= INTERVAL + LAST, "within an interval and the back-off"
    ((_, payload),) = another.published
    seconds = int(day.now) - int(began)
    assert Counters(1000 * seconds, 0, seconds, 0) == growth_of(payload)
    day.transport.close()
    another.stop()


@pytest.fixture
def host(nucleus: Nucleus, tmp_path: Path) -> Host:
    host = Host(tmp_path)
    nucleus.configuration.update(EVERY_SECOND, **host.parameters)
    return host


@pytest.mark.slow
def test_ten_intervals_without_aws_iot_leave_the_same_process_and_an_exact_growth(
    nucleus: Nucleus, host: Host, daemon: subprocess.Popen[str]
) -> None:
    assert wait_until(lambda: len(nucleus.published) >= 1, PATIENCE)
    nucleus.online = False
    nucleus.hang_up()
    reports = len(nucleus.published)
    for interval in range(1, 11):
        host.count(Counters(1000 + 70_000 * interval, 500 + 2**33 * interval, 10 + 50 * interval, 5 + 9 * interval))
        with pytest.raises(subprocess.TimeoutExpired):
            daemon.wait(timeout=EVERY_SECOND["agent"]["publish_interval"])
    assert reports == len(nucleus.published)
    nucleus.online = True
    assert wait_until(lambda: len(nucleus.published) > reports, PATIENCE)
    assert Counters(700_000, 10 * 2**33, 500, 90) == growth_of(nucleus.published[reports][1])
    assert None is daemon.poll()


@pytest.mark.slow
def test_each_restart_of_the_nucleus_ends_the_component_once(
    nucleus: Nucleus, host: Host, environment: dict[str, str], tmp_path: Path
) -> None:
    """As under systemd, which starts it again with the token that the nucleus then gives it."""
    command, ends = [sys.executable, str(PUBLISHER), "--greengrass"], []
    for number in range(2):
        token = f"{TOKEN} of start {number}"
        nucleus.tokens, before = {token}, len(nucleus.published)
        host.count(Counters(*(1000 * (number + 1),) * 4))
        with subprocess.Popen(command, env={**environment, "SVCUID": token}, cwd=tmp_path) as process:
            assert wait_until(lambda: len(nucleus.published) >= before + 2, PATIENCE), "it reports, and goes on"  # noqa: B023
            assert None is process.poll()
            nucleus.tokens = {"of the next start"}
            nucleus.hang_up()
            ends.append(process.wait(timeout=PATIENCE))
    assert [75, 75] == ends
    growths = [growth_of(payload) for _, payload in nucleus.published]
    assert 2000 - 1000 == sum(each.bytes_in for each in growths if each), "nothing lost between the two"
