"""The demo: an alarm that comes with an unexpected port and clears without it, and what can be asked afterwards."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from defender_detect.ask.replay import Recorded, read_recorded
from defender_detect.profiles import read_profile
from demo.console import console
from demo.intruder import provoke_alarm, unexpected_port, wait_for_normal
from demo.report import record_report
from demo.settings import BEHAVIOR, PROFILE, read_normal_ports, write_profile
from demo.witness import Witness
from tests.namespaces import Namespace, ip, refusal
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parent.parent.parent
DETECT = ROOT / "amazon-defender-detect"
ALARM = f"WARNING this-machine: in-alarm: ... ({BEHAVIOR} of {PROFILE})"
CLEARED = f"INFO this-machine: alarm-cleared: ... ({BEHAVIOR} of {PROFILE})"
REPORT = {"header": {"report_id": 7, "version": "1.0"}, "metrics": {"listening_tcp_ports": {"ports": [], "total": 0}}}
LONGEST = 240.0  # seconds for an alarm to clear; without a network of its own, ports of other tests may hold it


@pytest.fixture
def listening_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


def test_ports_that_listen_already_are_normal(listening_port: int) -> None:
    assert listening_port in read_normal_ports()


def test_the_profile_is_one_that_detect_reads(tmp_path: Path) -> None:
    profile = read_profile(write_profile(tmp_path / "profile.json", {8883, 22}))
    assert PROFILE == profile.name
    assert [BEHAVIOR] == [behavior.name for behavior in profile.behaviors]
    assert {"ports": [22, 8883]} == profile.behaviors[0].criteria.document["value"]


def test_an_unexpected_port_listens_and_is_closed() -> None:
    with unexpected_port(set()) as port:
        socket.create_connection(("127.0.0.1", port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_what_is_recorded_can_be_replayed(tmp_path: Path) -> None:
    before = time.time()
    for _ in range(2):
        record_report(tmp_path / "reports.jsonl", "rpi-1", REPORT)
    recorded = list(read_recorded((tmp_path / "reports.jsonl").read_bytes().splitlines()))
    assert all(isinstance(each, Recorded) and abs(each.time - before) < 60 for each in recorded)
    assert [("rpi-1", REPORT)] * 2 == [
        (each.thing, msgspec.to_builtins(each.report)) for each in recorded if isinstance(each, Recorded)
    ]


def test_a_demo_that_ends_too_soon_says_what_was_not_seen() -> None:
    witness = Witness()
    provoke_alarm(witness, set(), time.monotonic() + 0.01, never)
    assert [
        "no report was accepted",
        "the alarm did not come",
        "the alarm did not clear (a port of another program may hold it)",
    ] == witness.missing()


def test_an_alarm_that_other_ports_raise_is_waited_for_and_not_counted() -> None:
    witness = Witness()
    assert ["7"] == witness.hear("report 7 accepted after 0.1 s")
    witness.hear(ALARM)
    provoke_alarm(witness, set(), time.monotonic() + 0.01, never)
    assert [
        "the alarm did not come",
        "the alarm did not clear (a port of another program may hold it)",
    ] == witness.missing()


def test_the_alarm_is_seen_to_come_and_to_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    witness = Witness()
    witness.hear("report 7 accepted after 0.1 s")
    answers = {"opens": ALARM, "there": CLEARED}  # what Detect says once the demo has said that

    def say(text: str) -> None:
        line = answers.get(text.split()[0])
        if line:
            threading.Timer(0.05, witness.hear, [line]).start()

    monkeypatch.setattr("demo.intruder.say", say)
    provoke_alarm(witness, set(), time.monotonic() + PATIENCE, never)
    assert [] == witness.missing()


def test_ports_that_other_programs_open_meanwhile_become_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.intruder.PATIENCE", 0.05)
    witness = Witness()
    for line in ("report 7 accepted after 0.1 s", ALARM):
        witness.hear(line)
    assert wait_for_normal(witness, time.monotonic() + PATIENCE, lambda: not witness.hear(CLEARED))


@contextlib.contextmanager
def network_of_its_own() -> Iterator[None]:
    """Start programs where no test opens ports, which hold the alarm; without the right to, start them here."""
    if refusal():
        yield
        return
    namespace = Namespace()
    with namespace.entered():
        ip("link", "set", "lo", "up")
        yield
    namespace.close()


def test_the_whole_demo_ends_well_and_what_it_tells_to_type_works(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "demo.run", "--seconds", "250", "--directory", str(tmp_path)]
    if sys.version_info < (3, 10):
        pytest.skip("the built-in broker needs Python 3.10")
    with network_of_its_own():
        demo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watchdog = threading.Timer(LONGEST, demo.send_signal, [signal.SIGTERM])
    watchdog.start()
    lines = []
    assert demo.stdout is not None
    for line in demo.stdout:
        lines.append(line)
        if "the alarm is cleared" in line:
            demo.send_signal(signal.SIGTERM)
    watchdog.cancel()
    text = "".join(lines)
    assert 0 == demo.wait(60), text
    ports = "TCP ports? [0-9]+.*"  # more than one where other programs open some meanwhile
    assert re.search(rf"WARNING this-machine: in-alarm: {ports} listening.*\({BEHAVIOR} of {PROFILE}\)", text)
    assert "not seen" not in text
    assert find_spec("starlette") is None or re.search(
        r"the console is at http://127\.0\.0\.1:[0-9]+/\?token=\S+", text
    )
    assert "Traceback" not in text

    told = [line.split("amazon-defender-detect ")[1].split() for line in lines if "  ./amazon-defender-detect" in line]
    assert ["console"] == [arguments[0] for arguments in told if arguments[0] == "console"]
    answers = [ask(*arguments) for arguments in told if arguments[0] != "console"]
    assert 4 == len(answers)
    violations, metrics, things, replayed = answers
    assert "alarm-cleared" in violations
    assert "values from" in metrics
    assert "this-machine" in things
    assert re.search(r"[1-9]\d* reports of 1 things evaluated, 0 lines unreadable", replayed)
    events = json.loads(ask(*told[0], "--json"))["violationEvents"]
    assert ["alarm-cleared", "in-alarm"] == [event["violationEventType"] for event in events][:2]


def test_without_the_consoles_packages_the_demo_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("demo.console.find_spec", lambda name: None)
    with console(tmp_path / "detect.json", 0):
        pass
    assert "there is no page to look at: jinja2, starlette, uvicorn cannot be had" in capsys.readouterr().out


def never() -> None:
    """Adopt no port."""
    raise AssertionError("there was time for the alarm to clear")


def ask(*arguments: str) -> str:
    """Return what Detect answers."""
    command = [sys.executable, str(DETECT), *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
