"""Thousands of reports and reconnects leave threads, descriptors and memory as they were, and count every byte once."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from demo.authority import Authority
from tests import namespaces
from tests.chaos.table import Fault
from tests.conftest import ROOT
from tests.fakes.scripted_broker import Script, ScriptedBroker, accept
from tests.namespaces import Namespace, ip

pytestmark = pytest.mark.skipif(namespaces.refusal() is not None, reason=str(namespaces.refusal()))

PER_CONNECTION = 10  # reports; then the broker hangs up
MOST_GROWTH = 1024  # KiB of resident memory
REFUSALS = (Script(connack=5), Script(suback=0x80), Script(close_after_connect=True), Script(connack=3))


class HangingUp(ScriptedBroker):
    """Accepts reports, hangs up after every tenth, and turns every third connection away, each time in another way."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # its connections inherit that
        self.accepted = self.connections = self.refused = 0
        self.growth: Counter[str] = Counter()
        self._working = Script(answer=self._answer)

    def _answer(self, topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        self.seen.publishes.clear()
        self.growth.update(json.loads(payload)["metrics"].get("network_stats", {}))
        self.accepted += 1
        return accept(topic, payload)

    def _publish(self, connection: Any, flags: int, body: bytes) -> bool:
        return super()._publish(connection, flags, body) and self.accepted % PER_CONNECTION != 0

    def _connect(self, connection: Any, body: bytes) -> bool:
        self.connections += 1
        turns_away = self.connections % 3 == 2
        self.refused += turns_away
        self.script = REFUSALS[self.connections // 3 % len(REFUSALS)] if turns_away else self._working
        return super()._connect(connection, body)


@pytest.fixture
def broker(authority: Authority) -> Iterator[HangingUp]:
    """A broker that hangs up, on the loopback interface of a network namespace, which counts this traffic alone."""
    files = authority.issue("broker", ["localhost", "127.0.0.1"])
    with ExitStack() as stack:
        namespace = Namespace()
        stack.callback(namespace.close)
        stack.enter_context(namespace.entered())
        ip("link", "set", "lo", "up")
        broker = HangingUp(files.certificate, files.private_key, authority.certificate)
        stack.callback(broker.close)
        yield broker


@pytest.fixture
def soak(broker: HangingUp, write_config: Callable[..., Path], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run `tests.chaos.soak` in the broker's namespace; return what it measured."""

    def soak(timeout: float, **options: int) -> dict[str, Any]:
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        config = write_config(broker.port, logfile=str(tmp_path / "log"), log_max_size=100_000, log_max_count=2)
        command = [sys.executable, "-m", "tests.chaos.soak", str(config), *arguments]
        done = subprocess.run(
            [*command, f"--per-connection={PER_CONNECTION}"], capture_output=True, text=True, cwd=ROOT, timeout=timeout
        )
        assert 0 == done.returncode, done.stderr
        return dict(json.loads(done.stdout))

    return soak


def check(measured: dict[str, Any], broker: HangingUp, most_growth: int) -> None:
    before, after = measured["before"], measured["after"]
    assert before["threads"] == after["threads"]
    assert before["descriptors"] == after["descriptors"]
    assert after["resident"] - before["resident"] <= most_growth, measured["samples"]
    assert measured["growth"] == broker.growth


def told(measured: dict[str, Any], broker: HangingUp) -> str:
    before, after = measured["before"], measured["after"]
    return (
        f"{measured['reports']:,} reports, {measured['reconnects']:,} reconnects, {broker.refused:,} refused, in "
        f"{measured['seconds']:.0f} s: {after['threads']} threads and {after['descriptors']} descriptors before and "
        f"after, {before['resident']:,} KiB resident before, {after['resident']:,} after, {max(measured['samples']):,} "
        "at most"
    )


@pytest.mark.slow
def test_hundreds_of_reports_leave_threads_and_descriptors_as_they_were(
    broker: HangingUp, soak: Callable[..., dict[str, Any]]
) -> None:
    measured = soak(60, warm_up=100, reports=300)
    check(measured, broker, 2 * MOST_GROWTH)  # which is not yet warm
    assert measured["reconnects"] >= 30


@pytest.mark.fault("10,000 reports and 1,000 reconnects")
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_10_000_reports_and_1_000_reconnects_leave_threads_descriptors_and_memory_as_they_were(
    broker: HangingUp, soak: Callable[..., dict[str, Any]], fault: Fault
) -> None:
    measured = soak(1400, warm_up=1_000, reports=10_000)
    fault.logged(told(measured, broker))
    fault.accounted(f"{broker.growth['bytes_in']:,} B in reported = counted")
    check(measured, broker, MOST_GROWTH)
    assert measured["reconnects"] >= 1_000
