"""Clocks and certificates: a device that has lost the time waits for it, and one whose clock jumps reports on."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from defender_publisher.mqtt import VALIDITY_CHECK
from demo.authority import Authority, Files
from tests.chaos.process import LOOK_AGAIN
from tests.chaos.scene import THING, Scene
from tests.chaos.service import ACCEPT
from tests.chaos.table import Fault

NewScene = Callable[..., Scene]
LOOK = 2.5  # seconds: the daemon's look for a connection, and the connecting itself on a busy machine
LIBRARIES = (Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/local/lib"))
FAKETIME = next((each for root in LIBRARIES for each in root.glob("**/libfaketimeMT.so.1")), None)
# Python's own sleep ends with an error under libfaketime 0.9.10 with FAKETIME_DONT_FAKE_MONOTONIC.
SLEEP = "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"
HOUR = "3600"  # seconds
EPOCH = "@1970-01-01 00:01:00"

pytestmark = pytest.mark.slow
needs_faketime = pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")


class Clock:
    """The daemon's wall clock, which can be set while it runs; its monotonic clock is the system's."""

    def __init__(self, directory: Path, setting: str = "+0") -> None:
        self._file = directory / "clock"
        (directory / "sitecustomize.py").write_text(SLEEP)
        self.set(setting)
        self.wrapper = [
            *("env", f"LD_PRELOAD={FAKETIME}", f"FAKETIME_TIMESTAMP_FILE={self._file}", "FAKETIME_NO_CACHE=1"),
            *("FAKETIME_DONT_FAKE_MONOTONIC=1", f"PYTHONPATH={directory}"),
        ]

    def set(self, setting: str) -> None:
        """Set the clock: "+3600" is an hour fast, "@1970-01-01 00:01:00" stands there."""
        new = self._file.with_name("clock.new")
        new.write_text(setting + "\n")
        new.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def content_of(scene: Scene) -> list[dict[str, Any]]:
    """Return the reports as they arrived."""
    return [json.loads(payload) for _, payload, _ in scene.service.broker.seen.publishes]  # type: ignore[attr-defined]


def check_accounts(scene: Scene, fault: Fault) -> None:
    """See that every byte from now on is reported once."""
    scene.open_accounts(2 * scene.interval + LOOK)
    scene.traffic(50_000)
    scene.settle()
    fault.accounted(scene.assert_accounted())


# -- certificates


@needs_faketime
@pytest.mark.fault("clock of 1970, then set")
def test_a_device_without_a_clock_waits_until_it_is_set(new_scene: NewScene, clock: Clock, fault: Fault) -> None:
    clock.set(EPOCH)
    scene = new_scene(begin=False, wrapper=clock.wrapper)
    scene.service.start()
    scene.start_daemon()
    pattern = (
        r"WARNING : not connected: the certificate \S+ is valid from .*, but this device's clock says 1970-01-01 .*"
    )
    fault.logged(scene.wait_for_line(pattern, 20).text)
    time.sleep(VALIDITY_CHECK + 2)
    assert [] == scene.accepted
    clock.set("+0")
    fault.resumed(scene.resumed_within(VALIDITY_CHECK + scene.interval + LOOK))
    assert abs(scene.accepted[0].report_id - time.time()) < 30
    assert 1 == len(scene.find(pattern))
    check_accounts(scene, fault)


def give(scene: Scene, files: Files) -> None:
    """Put a certificate and its key in the place of the scene's."""
    settings = json.loads(scene.config.read_text())["agent"]["authentication"]
    for source, target in ((files.private_key, settings["private_key"]), (files.certificate, settings["certificate"])):
        shutil.copy2(source, target + ".new")
        os.replace(target + ".new", target)


def hour(offset: int) -> datetime:
    return datetime.now(timezone.utc) + timedelta(hours=offset)


CERTIFICATES: dict[str, tuple[Callable[[Authority, Path], Files], str]] = {
    "of another authority": (
        lambda authority, path: Authority(path / "other").issue(THING),
        r"not connected to \S+: .*must trust the authority that signed this device's certificate",
    ),
    "expired": (
        lambda authority, path: authority.issue("other", not_before=hour(-2), not_after=hour(-1)),
        r"not connected: the certificate \S+ expired on .*; replace it and its key with new ones",
    ),
    "not yet valid": (
        lambda authority, path: authority.issue("other", not_before=hour(1)),
        r"not connected: the certificate \S+ is valid from .* on, but this device's clock says .*; check the clock",
    ),
}


@pytest.mark.parametrize(
    "problem", [pytest.param(each, marks=pytest.mark.fault(f"client certificate {each}")) for each in CERTIFICATES]
)
def test_a_certificate_that_is_not_accepted_until_another_is_in_its_place(
    new_scene: NewScene, authority: Authority, tmp_path: Path, fault: Fault, problem: str
) -> None:
    make, pattern = CERTIFICATES[problem]
    scene = new_scene(begin=False, interval=5)
    good = authority.issue("good")
    give(scene, make(authority, tmp_path))
    scene.service.start()
    scene.start_daemon()
    fault.logged(scene.wait_for_line("WARNING : " + pattern, 20).text)
    time.sleep(scene.interval)
    assert [] == scene.accepted
    give(scene, good)
    fault.resumed(scene.resumed_within(max(VALIDITY_CHECK, scene.interval) + scene.interval + LOOK))
    assert [] == scene.find("Traceback")
    check_accounts(scene, fault)


# -- steps


def wait_for_report(scene: Scene) -> None:
    """Return when the next report has arrived, whose verdict takes a while."""
    sent, deadline = len(scene.accepted), time.monotonic() + 3 * scene.interval
    while len(scene.accepted) == sent:
        assert time.monotonic() < deadline, "no report came any more"
        time.sleep(LOOK_AGAIN)


@needs_faketime
@pytest.mark.timeout(180)
@pytest.mark.fault("clock stepping an hour back and forth")
def test_a_clock_that_steps_an_hour_back_and_forth(new_scene: NewScene, clock: Clock, fault: Fault) -> None:
    """Every step comes while a report waits for its verdict, when the time it was sent is already noted."""
    scene = new_scene(wrapper=clock.wrapper, metrics_collection_interval=1)
    scene.service.verdict = ACCEPT._replace(late=0.5)  # type: ignore[attr-defined]
    scene.drip()
    ports = []
    for setting in ("+" + HOUR, "+0", "-" + HOUR, "+" + HOUR, "-" + HOUR, "+0", "-" + HOUR, "+0"):
        with scene.network.device.entered():
            listener = socket.create_server(("127.0.0.1", 0))
        ports.append(listener.getsockname()[1])
        time.sleep(1.3)  # so that one look has seen it
        listener.close()
        wait_for_report(scene)
        clock.set(setting)
    scene.settle()
    fault.accounted(scene.assert_accounted())
    numbers = [report.report_id for report in scene.accepted]
    assert sorted(set(numbers)) == numbers
    moments = [report.moment for report in scene.accepted]
    gaps = [later - earlier for earlier, later in zip(moments, moments[1:])]
    fault.logged(f"(nothing; {len(numbers)} reports, {min(gaps):.1f} to {max(gaps):.1f} s apart)")
    assert scene.interval * 0.95 <= min(gaps) <= max(gaps) <= scene.interval * 1.11 + 10  # and not an hour
    assert [] == scene.find("WARNING|ERROR|Traceback")
    listed = {
        port["port"] for each in content_of(scene) for port in each["metrics"]["listening_tcp_ports"].get("ports", [])
    }
    assert set(ports) <= listed


# -- waits

FUTEX, CLOCK_REALTIME = {"x86_64": 202, "aarch64": 98}, 0x100  # FUTEX_CLOCK_REALTIME (linux/futex.h)


@pytest.mark.fault("waits that a step of the clock would stretch")
@pytest.mark.skipif(os.uname().machine not in FUTEX, reason="the number of futex(2) is known for two machines")
def test_no_thread_of_the_daemon_waits_for_a_time_of_the_wall_clock(new_scene: NewScene, fault: Fault) -> None:
    """The other tests' libfaketime does not show that: it translates such a wait when it begins."""
    scene = new_scene()
    assert scene.daemon is not None
    waits = set()
    deadline = time.monotonic() + 2 * scene.interval
    while time.monotonic() < deadline:
        for task in Path(f"/proc/{scene.daemon.process.pid}/task").iterdir():
            number, *arguments = (task / "syscall").read_text().split()
            if number == str(FUTEX[os.uname().machine]) and int(arguments[3], 16):  # one that ends by itself
                waits.add(int(arguments[1], 16))
        time.sleep(0.01)
    assert waits, "threads wait with a time-out"
    assert not any(operation & CLOCK_REALTIME for operation in waits)
    fault.logged(f"(no wait; futex operations {sorted(map(hex, waits))} on Python {sys.version.split()[0]})")
