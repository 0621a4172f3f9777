"""What serving takes: a fleet reports to mosquitto over TLS, each in a process of its own, and Detect answers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil

from benchmarks.evaluation import HISTORY, INTERVAL, Measured, read_sample
from benchmarks.fleet import name_of
from defender_detect.evaluate.detector import Attachment, Detector, Rules
from defender_detect.profiles import read_profile
from defender_detect.store.schema import DATABASE
from defender_detect.store.store import Store
from demo.authority import Authority, Files
from demo.ports import find_free_port

ROOT = Path(__file__).resolve().parent.parent
DETECT = ROOT / "amazon-defender-detect"
MOST_QUEUED = 20_000  # messages that mosquitto keeps for a client; of 1,000, its own, it drops those of a tenth second
WRITTEN = 50_000  # states at once; the store has no room for a million that wait
READY_WITHIN = 60.0  # seconds


def measure_serving(
    directory: Path, profile: Path, things: int, program: str, rate: float, stall: float = 0.0
) -> Measured:
    """Let a fleet report to mosquitto, and Detect answer; return what was measured of all three.

    For the first `stall` seconds the database is locked, and nobody reads Detect's log.
    """
    directory.mkdir(exist_ok=True)
    state = directory / "state"
    keep_states(state, profile, things)
    authority, port = Authority(directory / "authority"), find_free_port()
    with contextlib.ExitStack() as stack:
        broker, broker_log = start(stack, broker_command(authority, directory, port))
        wait_for_port(port)
        options = ["--endpoint", "localhost", "--port", str(port), *pem_options(authority, authority.issue("detect"))]
        command = [sys.executable, program, *options, "--profiles", str(profile), "--state-directory", str(state)]
        detect, log = start(stack, command)
        wait_for_line(detect, log, "is ready on")
        restored = psutil.Process(detect.pid).memory_info().rss
        before = [cpu_seconds(process.pid) for process in (detect, broker)]
        with stalled(state / DATABASE, log, stall):
            measured = run_fleet(authority, port, things, rate)
        after = [cpu_seconds(process.pid) for process in (detect, broker)]
        memory = psutil.Process(detect.pid).memory_info().rss, peak_memory(detect.pid)
        detect.terminate()
        detect.wait(30)
    measured.update(zip(("detect cpu", "broker cpu"), (end - start for start, end in zip(before, after))))
    measured.update(restored=restored, rss=memory[0], peak=memory[1])
    sys.stderr.writelines(line for line in [*broker_log, *log] if " ERROR " in line or "dropped" in line)
    return {**measured, **count_kept(state / DATABASE)}


def keep_states(state: Path, profile: Path, things: int) -> None:
    """Fill a store with things that have reported every 300 s for an hour, the last time 301 s ago."""
    detector, report, now = Detector(Rules([Attachment(read_profile(profile))])), read_sample(), time.time() - 301
    for ago in reversed(range(HISTORY)):
        found = detector.observe(name_of(0), report, now - ago * INTERVAL)
        packed = found.state if found else None
    with Store(state) as store:
        for number in range(things):
            store.add(name_of(number), now, {}, state=packed, report_id=1)
            if number % WRITTEN == 0:
                store.flush()


class Log(list[str]):
    """The lines of a program's log, as far as it is read: while `flows` is not set nobody does."""

    def __init__(self) -> None:
        super().__init__()
        self.flows = threading.Event()
        self.flows.set()


@contextlib.contextmanager
def stalled(database: Path, log: Log, seconds: float) -> Iterator[None]:
    """Meanwhile let neither the database nor the log take anything, for so many seconds."""
    if not seconds:
        yield
        return
    log.flows.clear()
    blocker = sqlite3.connect(database, isolation_level=None, check_same_thread=False, timeout=READY_WITHIN)
    blocker.execute("BEGIN IMMEDIATE")

    def go_on() -> None:
        blocker.execute("COMMIT")
        log.flows.set()

    timer = threading.Timer(seconds, go_on)
    timer.start()
    try:
        yield
    finally:
        timer.join()
        blocker.close()


def start(stack: contextlib.ExitStack, command: list[str]) -> tuple[subprocess.Popen[str], Log]:
    """Start a program that is ended with the stack; return it, and the list that its log's lines go to.

    The log is a pipe, as it is below systemd: a file would let the program wait for the disk now and then.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    stack.callback(process.wait)
    stack.callback(process.kill)
    lines = Log()
    threading.Thread(target=collect, args=[process.stdout, lines], daemon=True).start()
    return process, lines


def collect(pipe: IO[str], lines: Log) -> None:
    """Append what comes out of a pipe to a log, while that flows."""
    for line in pipe:
        lines.flows.wait()
        lines.append(line)  # and not extend: others read the list meanwhile


def broker_command(authority: Authority, directory: Path, port: int) -> list[str]:
    """Return the command of a mosquitto that lets everyone with a certificate do everything."""
    mosquitto = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if mosquitto is None:
        sys.exit("the benchmark needs mosquitto: make bench-detect installs it where it can")
    server = authority.issue("mosquitto", ["localhost", "127.0.0.1"])
    config = directory / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\ncafile {authority.certificate}\ncertfile {server.certificate}\n"
        f"keyfile {server.private_key}\nrequire_certificate true\nuse_identity_as_username true\n"
        f"set_tcp_nodelay true\nmax_queued_messages {MOST_QUEUED}\nlog_type error\nlog_type warning\n"
        + ("user root\n" if os.geteuid() == 0 else "")
    )
    return [mosquitto, "-c", str(config)]


def pem_options(authority: Authority, files: Files) -> list[str]:
    """Return the options that name a client's files."""
    return [
        "--root-ca", str(authority.certificate), "--certificate", str(files.certificate),
        "--private-key", str(files.private_key),
    ]  # fmt: skip


def run_fleet(authority: Authority, port: int, things: int, rate: float) -> Measured:
    """Let the fleet report, in a process of its own; return what it measured."""
    options = ["--port", str(port), "--things", str(things), "--rate", str(rate)]
    command = [sys.executable, "-m", "benchmarks.fleet", *options, *pem_options(authority, authority.issue("fleet"))]
    before = os.times()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    after = os.times()
    measured: Measured = json.loads(done.stdout)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {**measured, "fleet cpu": cpu}


def wait_for_port(port: int) -> None:
    """Wait until something listens on a port."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.1)
    sys.exit("mosquitto does not start")


def wait_for_line(process: subprocess.Popen[str], log: list[str], part: str, patience: float = READY_WITHIN) -> None:
    """Wait until a program has logged a line."""
    deadline = time.monotonic() + patience
    while not any(part in line for line in list(log)):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"Detect does not start:\n{''.join(log)}")
        time.sleep(0.1)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def peak_memory(pid: int) -> int:
    """Return the largest resident memory that a process ever had, in bytes; what it has now where that is unknown."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        if found:
            return int(found[1]) * 1024
    return int(psutil.Process(pid).memory_info().rss)


def count_kept(database: Path) -> Measured:
    """Return how many reports and alarms are in the store."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        ((reports, reporters),) = connection.execute("SELECT count(*), count(DISTINCT thing) FROM reports")
        ((events,),) = connection.execute("SELECT count(*) FROM events WHERE type = 'in-alarm'")
    return {"kept": reports, "reporters": reporters, "events": events}
