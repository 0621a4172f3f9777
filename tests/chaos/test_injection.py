"""An exception in any collector costs a block at most, one in any callback a connection at most, and both are said.

Nothing is listed here: what a turn calls, and what the SDK calls back, is observed first.
"""

from __future__ import annotations

import ast
import inspect
import json
import logging
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
import timeloop

from defender_publisher import sdk
from defender_publisher import session as session_module
from defender_publisher.device import ThisDevice
from defender_publisher.errors import DefenderError
from defender_publisher.mqtt import MqttTransport
from defender_publisher.publisher import Publisher
from defender_publisher.session import Link, Session
from defender_publisher.settings import read_settings
from defender_publisher.snapshot import Counters
from defender_publisher.state import StateFile
from defender_publisher.tcp import open_socket
from defender_publisher.transport import Delivery
from demo.authority import Authority
from device_defender.metrics import BUILT_INS
from device_defender.report import LARGEST_PAYLOAD
from tests.chaos.injection import Calls, Injection, name_of, watched
from tests.chaos.table import Fault
from tests.fakes.scripted_broker import ScriptedBroker
from tests.waiting import wait_until

DISCARD = ("127.0.0.1", 9)  # where a datagram is traffic, and nobody's
TICK = 0.02  # seconds; the kernel counts the processors' time in hundredths
MAIN = threading.main_thread().name
MOST_TURNS = 5  # until a report is accepted again
REPORT = b'{"header": {"report_id": 7, "version": "1.0"}, "custom_metrics": {"x": [{"number": 1}]}}'
SWALLOWED = (".call:", "_BoundedLine", "_silence", "patient_loop", "stop_and_wake")  # what only the SDK itself calls
GUARD = "attempt"  # the module that catches what collectors raise; an exception in itself costs the turn


pytestmark = pytest.mark.slow


@dataclass
class Receiver:
    """A transport that accepts everything."""

    connected: bool = True
    largest_report: int = LARGEST_PAYLOAD
    reports: list[dict[str, Any]] = field(default_factory=list)
    growth: Counter[str] = field(default_factory=Counter)

    def publish(self, report_id: int, payload: bytes) -> Delivery:
        self.reports.append(json.loads(payload))
        self.growth.update(self.reports[-1].get("metrics", {}).get("network_stats", {}))
        return Delivery(0.0)

    def late_verdicts(self) -> dict[int, bool]:
        return {}


def guards_of(add_job: Callable[..., None]) -> list[Mock]:
    """Return what stands for the guard, where the script's jobs tell one of their progress."""
    return [Mock() for name in inspect.signature(add_job).parameters if name == "guard"]


class Reporting:
    """A publisher of this machine with every metric there is, run as the script's job runs it."""

    def __init__(self, script: ModuleType, directory: Path, procfs_path: str) -> None:
        own = {"command": ["echo", "1"], "type": "number"}
        agent = {"dry_run": True, "thing_name": "t", "procfs_path": procfs_path, "metrics_collection_interval": 10}
        metrics = {"own": own, **{name: {} for name in BUILT_INS}}
        settings = read_settings(None, {"agent": agent, "custom_metrics": metrics})
        self.receiver, self._store = Receiver(), StateFile(directory)
        publisher = Publisher(settings, ThisDevice(settings.config), self.receiver, self._store)
        loop = timeloop.Timeloop()
        loop.logger.handlers.clear()
        script.add_job(loop, *guards_of(script.add_job), publisher.report, first=0.0)
        self.turn = loop.jobs[-1].execute

    def blocks(self) -> set[str]:
        """Take a turn; return the blocks of the report that it sent, none if it sent none."""
        self.receiver.reports.clear()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(bytes(100), DISCARD)
        self.turn()
        parts = ("metrics", "custom_metrics")
        return {name for each in self.receiver.reports for part in parts for name in each.get(part, ())}

    def counted(self) -> Counter[str]:
        """Return the counters up to which traffic is reported, of all interfaces together."""
        baseline = self._store.load("t").baseline
        assert baseline is not None
        return Counter(dict(zip(Counters._fields, map(sum, zip(*baseline.interfaces.values())))))

    def is_whole_again(self, full: set[str]) -> bool:
        """Tell whether the next report holds all blocks, or one a tick later: before that cpu_usage has no value."""
        for _ in range(3):
            if self.blocks() >= full:
                return True
            time.sleep(TICK)
        return False


def is_collector(code: CodeType) -> bool:
    path = Path(code.co_filename)
    return path.parent.name == "collectors" and path.stem != GUARD


WAYS = [
    pytest.param("/proc", id="by_netlink"),
    pytest.param("/proc/self/root/proc", id="by_a_hosts_procfs"),
]


@pytest.fixture(params=WAYS)
def reporting(request: pytest.FixtureRequest, publisher_script: ModuleType, tmp_path: Path) -> Iterator[Reporting]:
    """A publisher on a machine with a TCP connection at least, and a port of each kind, so that each has its turn."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        with socket.create_connection(server.getsockname()):
            yield Reporting(publisher_script, tmp_path, request.param)


@pytest.fixture
def full(reporting: Reporting) -> set[str]:
    """The blocks of a report for which nothing went wrong."""
    reporting.blocks()  # the first has no growth yet
    time.sleep(TICK)
    return reporting.blocks()


@pytest.mark.fault("an exception in every collector")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the ways to look at a device are Linux's")
def test_an_exception_anywhere_in_a_turn_is_said_and_costs_a_block_or_a_turn(
    reporting: Reporting, full: set[str], caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    """In a collector it costs blocks at most; elsewhere this turn's report; the next report is whole."""
    calls = Calls()
    with watched(calls):
        assert full <= reporting.blocks() | {"cpu_usage"}
    collectors = {code for code in calls.threads if is_collector(code)}
    wrong, lost = [], set()
    counted = reporting.counted()
    reporting.receiver.growth.clear()
    for code in sorted(calls.threads, key=is_collector, reverse=True):
        if Path(code.co_filename).name == "daemon.py":
            continue  # it runs the turn, and is what catches an exception
        if not is_collector(code) and counted:
            assert reporting.counted() - counted == reporting.receiver.growth
            assert reporting.receiver.growth["bytes_in"]
            fault.accounted(f"{sum(reporting.receiver.growth.values()):,} bytes and packets = counted")
            counted.clear()
        caplog.clear()
        injection = Injection(code)
        with watched(injection):
            got = reporting.blocks()
        lost |= full - got if got else set()
        faults = {
            "was not called": not injection.done,
            "was not said": "Injected" not in caplog.text,
            "took the report with it": code in collectors and not got,
            "added a block": bool(got - full),
            "is not over in the next report": not reporting.is_whole_again(full),
        }
        wrong += [f"{name_of(code)}: the exception {fault}" for fault, holds in faults.items() if holds]
    assert [] == wrong
    assert full == lost  # so each block's collectors were among them
    others = len(calls.threads) - len(collectors)
    fault.logged(f"(a block) left out of the report, unexpectedly ({len(collectors)} functions)")
    fault.logged(f"unforeseen error in report, which is tried again ({others} others)")


# -- callbacks


class Talk:
    """A transport to the broker, its jobs called without the waits; each talk has every callback called."""

    def __init__(self, broker: ScriptedBroker, authority: Authority) -> None:
        thing = authority.issue("rpi-1")
        self._link = Link(
            host="localhost",
            port=broker.port,
            client_id="rpi-1",
            topic="$aws/things/rpi-1/defender/metrics/json",
            root_ca=str(authority.certificate),
            certificate=str(thing.certificate),
            private_key=str(thing.private_key),
        )
        self._broker = broker
        self.accepted = 0

    def __call__(self) -> None:
        """Report, lose the connection, report over a new one, and close it."""
        transport = MqttTransport(self._link, self._new_session, verdict_timeout=0.5)
        try:
            self._report(transport)
            self._broker.drop()
            self._report(transport)
        finally:
            transport.close()

    def _report(self, transport: MqttTransport) -> None:
        """Turn by turn, until a report is accepted, for as many turns as a fault may cost."""
        for _ in range(MOST_TURNS):
            transport.keep_connected()
            if not transport.connected:
                continue
            try:
                transport.publish(7, REPORT)
            except DefenderError as error:
                logging.getLogger("defender_publisher").error("%s", error)
            else:
                self.accepted += 1
                return

    def _new_session(self) -> Session:
        return Session(self._link, lambda: open_socket("127.0.0.1", self._link.port, timeout=1.0))


def callbacks_given_to_the_sdk() -> set[str]:
    """Return the name of every function that `sdk.py` hands to the SDK, and the line of a lambda."""
    given = set()
    for node in ast.walk(ast.parse(Path(str(sdk.__file__)).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "safely":
            (callback,) = node.args
            is_lambda = isinstance(callback, ast.Lambda)
            given.add(f"<lambda>:{callback.lineno}" if is_lambda else f"_{callback.id}")  # type: ignore[attr-defined]
    return given


def threads() -> set[threading.Thread]:
    """Return what runs, but for the SDK's timers, which end by themselves after 20 s."""
    return {each for each in threading.enumerate() if not isinstance(each, threading.Timer)}


def key_of(code: CodeType) -> str:
    return f"<lambda>:{code.co_firstlineno}" if code.co_name == "<lambda>" else code.co_name


@pytest.mark.fault("an exception in every callback")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of the SDK's own threads
def test_an_exception_in_any_callback_is_said_and_costs_a_connection_at_most(
    broker: ScriptedBroker,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
) -> None:
    monkeypatch.setattr(session_module, "ANSWER_TIMEOUT", 0.5)
    monkeypatch.setattr(sdk, "DISPATCH_INTERVAL", 0.05)
    monkeypatch.setattr(session_module, "CLOSE_TIMEOUT", 0.2)
    talk = Talk(broker, authority)
    talk()
    before = threads()
    calls = Calls()
    with watched(calls):
        talk()
    callbacks = {code for code in calls.threads if code in calls.by_sdk or calls.threads[code] - {MAIN}}
    assert callbacks_given_to_the_sdk() <= {key_of(code) for code in callbacks}
    wrong = []
    for code in callbacks:
        caplog.clear()
        injection, accepted = Injection(code), talk.accepted
        with watched(injection):
            talk()
        swallowed = any(word in name_of(code) for word in SWALLOWED)
        said = "not connected|was lost" if swallowed else "Injected"  # the SDK takes it for the connection's end
        faults = {
            "was not called": not injection.done,
            "was not said": not wait_until(lambda said=said: re.search(said, caplog.text)),
            "ended the reporting": talk.accepted - accepted != 2,
            "left threads behind": not wait_until(lambda: len(threads()) <= len(before)),
        }
        wrong += [f"{name_of(code)}: the exception {fault}" for fault, holds in faults.items() if holds]
    assert [] == wrong
    fault.logged(f"unforeseen error in an MQTT callback ({len(callbacks)} callbacks)")
