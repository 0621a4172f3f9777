"""A scene: one population of sockets in a network namespace of its own, and the peers that report on it in turn.

Run in a new namespace (`unshare --net python -m benchmarks.scene ...`); prints the measurements as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.worker import LONGEST_LIST

PAIRS = 5_000  # connections that one process holds, both ends; its descriptors and the client's ports are limited
PROCESSES, DESCRIPTORS = 300, 64
INTERFACES = 20
TIME_WAIT = 4096
BASE = 100  # connections that are there besides what the scene is about
LONGEST_TURN = 30.0  # seconds; a peer slower than that has one turn only


def main() -> None:
    """Build the population, take the turns, print what they cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("population", help="connections:N, processes, interfaces or timewait")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--limit", type=Path, help="the C program")
    parser.add_argument("--peers", nargs="+", required=True)
    arguments = parser.parse_args()
    run("ip", "link", "set", "lo", "up")
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("1024 65535")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with population(arguments.population) as connections:
        wait_for(connections)
        print(json.dumps(take_turns(arguments.peers, arguments.rounds, arguments.limit)))


@contextlib.contextmanager
def population(name: str) -> Iterator[int]:
    """Build what `name` says; yield how many established connections there are."""
    kind, _, number = name.partition(":")
    with contextlib.ExitStack() as stack:
        connections = int(number or BASE)
        connect(stack, connections)
        if kind == "processes":
            for _ in range(PROCESSES):
                stack.callback(end, start_holder(hold_files))
        elif kind == "interfaces":
            add_interfaces()
        elif kind == "timewait":
            leave_in_time_wait()
        yield connections


def connect(stack: contextlib.ExitStack, connections: int) -> None:
    """Hold so many established connections, both ends of which are here."""
    for first in range(0, connections // 2, PAIRS):
        pairs = min(PAIRS, connections // 2 - first)
        stack.callback(end, start_holder(partial(hold_pairs, pairs)))


def hold_pairs(pairs: int) -> list[socket.socket]:
    """Open connections to a server port of their own."""
    server = socket.create_server(("127.0.0.1", 0), backlog=1024)
    held = [server]
    for _ in range(pairs):
        held += [socket.create_connection(server.getsockname()), server.accept()[0]]
    return held


def hold_files() -> list[int]:
    """Open as many descriptors as a busy process has."""
    return [os.open("/dev/null", os.O_RDONLY) for _ in range(DESCRIPTORS)]


def start_holder(hold: Callable[[], object]) -> int:
    """Start a process that calls `hold`, and keeps what it returned until it is ended."""
    child = os.fork()
    if child == 0:
        held = hold()
        select.select([], [], [])
        os._exit(held is None)
    return child


def end(child: int) -> None:
    """End a process that this one started."""
    os.kill(child, 9)
    os.waitpid(child, 0)


def add_interfaces() -> None:
    """Add interfaces, each with an address."""
    for number in range(0, INTERFACES, 2):
        run("ip", "link", "add", f"bench{number}", "type", "veth", "peer", "name", f"bench{number + 1}")
    for number in range(INTERFACES):
        run("ip", "address", "add", f"10.9.{number}.1/24", "dev", f"bench{number}")
        run("ip", "link", "set", f"bench{number}", "up")


def leave_in_time_wait() -> None:
    """Open and close connections whose client ends stay in TIME_WAIT for a minute."""
    with socket.create_server(("127.0.2.1", 0), backlog=1024) as server:
        for _ in range(TIME_WAIT):
            client = socket.create_connection(server.getsockname())
            accepted = server.accept()[0]
            client.close()
            accepted.close()


def wait_for(connections: int) -> None:
    """Wait until the kernel says that all connections are established."""
    deadline, rows = time.monotonic() + 60, 0
    while time.monotonic() < deadline:
        rows = sum(line.split()[3] == "01" for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:])
        if rows == connections:
            return
        time.sleep(0.1)
    raise SystemExit(f"there are {rows} connections instead of {connections}")


class Peer:
    """A worker that stays alive over all of its turns; `ss` is a program of its own each time."""

    def __init__(self, name: str, limit: Path | None) -> None:
        self.name = name
        self.costs: list[float] = []
        self.answer: list[str] = []
        command = (
            [str(limit), str(LONGEST_LIST)] if name == "limit" else [sys.executable, "-m", "benchmarks.worker", name]
        )
        self.process = None if name == "ss" else start_worker(command)

    def turn(self) -> float:
        """Make one report; return the CPU seconds."""
        if self.process is None:
            return self.run_ss()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.answer = self.process.stdout.readline().split()
        return float(self.answer[0])

    def run_ss(self) -> float:
        """List the same sockets with iproute2's program."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        shown = subprocess.run(["ss", "-tuanH"], capture_output=True, check=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.answer = ["", str(len(shown)), str(shown.count(b"ESTAB")), str(after.ru_maxrss)]
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def result(self) -> dict[str, object]:
        """Return what the turns cost, and what the last answer was."""
        _, size, total, peak = self.answer
        return {"cpu": self.costs, "bytes": int(size), "total": int(total), "peak_kib": int(peak)}


def start_worker(command: list[str]) -> subprocess.Popen[str]:
    """Start a worker."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def take_turns(names: list[str], rounds: int, limit: Path | None) -> dict[str, dict[str, object]]:
    """Let the peers report in turn, after a turn to warm up; a slow peer has one turn, its only one."""
    peers = [Peer(name, limit) for name in names]
    slow: set[str] = set()
    for peer in peers:
        cost = peer.turn()
        if cost > LONGEST_TURN / rounds:
            slow.add(peer.name)
            peer.costs.append(cost)
    for _ in range(rounds):
        for peer in peers:
            if peer.name not in slow:
                peer.costs.append(peer.turn())
    return {peer.name: peer.result() for peer in peers}


def run(*command: str) -> None:
    """Run a program that must succeed."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
