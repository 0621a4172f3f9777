"""A soak: the daemon's parts in one process, report after report and connection after connection, without the waits.

Run against a broker that closes the connection when it likes (see `test_soak`); prints what it measured as JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from defender_daemon import logs
from defender_daemon.status import LastErrorHandler
from defender_publisher import sdk, session
from defender_publisher.device import ThisDevice
from defender_publisher.publisher import Publisher
from defender_publisher.settings import read_settings
from defender_publisher.snapshot import Counters
from defender_publisher.state import StateFile
from defender_publisher.status_file import StatusFile
from defender_publisher.transports import open_transport

SETTLE = 10.0  # seconds that threads of closed sessions have to end
STEADY = 1.2  # seconds without a change, after which all have: the SDK looks once a second whether to end


class Clock:
    """A wall clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Soak:
    """The publisher and its transport, whose jobs are called in turn instead of after their waits."""

    def __init__(self, config: Path, store: StateFile, per_connection: int) -> None:
        settings = read_settings(config, {})
        state = store.load(settings.thing_name)
        status = StatusFile(settings, settings.agent.state_directory, state)
        logs.configure_logging(settings.agent, LastErrorHandler(status))
        self.clock = Clock()
        self.transport = open_transport(settings, status)
        device = ThisDevice(settings.config)
        self.publisher = Publisher(settings, device, self.transport, store, self.clock, status)
        self._store, self._thing = store, settings.thing_name
        self._per_connection = per_connection
        self.reports = self.connections = 0

    def report(self) -> None:
        """Take one turn of both jobs: stay connected, and report."""
        while not self.transport.connected:
            self.transport.keep_connected()
            self.connections += self.transport.connected
        self.clock.now += 301
        self.publisher.report()
        self.reports += 1
        if self.reports % self._per_connection == 0:
            self._await_loss()

    def baseline(self) -> dict[str, int]:
        """Return what the last settled report counted on all interfaces together, as the state file has it."""
        baseline = self._store.load(self._thing).baseline
        assert baseline is not None
        return dict(zip(Counters._fields, map(sum, zip(*baseline.interfaces.values()))))

    def _await_loss(self) -> None:
        deadline = time.monotonic() + 10
        while self.transport.connected:
            assert time.monotonic() < deadline, "the broker keeps the connection"
            time.sleep(0.0005)


def main() -> None:
    """Warm up, measure, run, measure again."""
    options = parse_arguments()
    compress_waits()
    with StateFile(read_settings(options.config, {}).agent.state_directory) as store:
        soak = Soak(options.config, store, options.per_connection)
        soak.report()
        first = soak.baseline()
        run(soak, options.warm_up)
        before = measure(soak)
        began, reports, connections = time.monotonic(), soak.reports, soak.connections
        samples = run(soak, options.reports)
        seconds = time.monotonic() - began
        done: dict[str, object] = {"reports": soak.reports - reports, "reconnects": soak.connections - connections}
        after = measure(soak)
        growth = {name: count - first[name] for name, count in soak.baseline().items()}
        soak.transport.close()
    done.update(before=before, after=after, samples=samples, seconds=seconds, growth=growth)
    print(json.dumps(done))


def parse_arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--reports", type=int, required=True)
    parser.add_argument("--warm-up", type=int, required=True, help="reports before the first measurement")
    parser.add_argument("--per-connection", type=int, required=True, help="reports until the broker hangs up")
    return parser.parse_args()


def compress_waits() -> None:
    """Let nothing wait for longer than it needs to: what is seconds apart on a device is milliseconds apart here."""
    sdk.DISPATCH_INTERVAL = 0.02
    session.CLOSE_TIMEOUT = 0.05


def run(soak: Soak, reports: int) -> list[int]:
    """Report so many times; return the resident memory, in KiB, after every tenth of them."""
    samples = []
    for number in range(1, reports + 1):
        soak.report()
        if number % max(reports // 10, 1) == 0:
            samples.append(resident())
    return samples


def measure(soak: Soak) -> dict[str, int]:
    """Return threads, descriptors and resident memory (KiB) while connected, once closed sessions have ended."""
    soak.report()
    until_steady(threading.active_count, SETTLE)
    gc.collect()  # as the transport does before it connects: the last session's knot may not have been loose then
    return {
        "threads": len(os.listdir("/proc/self/task")),
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,  # without the one that lists them
        "resident": resident(),
    }


def until_steady(count: Callable[[], int], seconds: float) -> None:
    """Return once `count` has not changed for a moment, or after so many seconds."""
    last, since, deadline = count(), time.monotonic(), time.monotonic() + seconds
    while time.monotonic() - since < STEADY and time.monotonic() < deadline:
        time.sleep(0.1)
        if count() != last:
            last, since = count(), time.monotonic()


def resident() -> int:
    """Return this process's resident memory, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("VmRSS is in /proc/self/status (proc(5))")


if __name__ == "__main__":
    main()
