"""The benchmark of Detect: as many reports as AWS takes of an account, over TLS, and whether each bar is met.

AWS takes 3,500 reports a second. 100,000 things that have reported for an hour, and whose states one Detect restores,
send one report each at that rate; every reply and every row in the store is counted. What evaluating takes is measured
alone before that, in CPU time of one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import psutil

from benchmarks.fleet import make_report, name_of
from benchmarks.run import DETECT as HEADING
from benchmarks.run import RESULTS, describe_bars, replace_section
from defender_detect.evaluate.detector import Attachment, Detector, Rules
from defender_detect.judge.reading import read_at_once
from defender_detect.profiles import Profile, read_profile
from defender_detect.store.schema import DATABASE
from defender_detect.store.store import Store
from demo.authority import Authority, Files
from demo.ports import find_free_port
from device_defender.report import Report

ROOT = Path(__file__).resolve().parent.parent
DETECT = ROOT / "amazon-defender-detect"
THINGS, RATE = 100_000, 3500.0  # each reports once, which takes 29 s; AWS's quota of reports a second
FULL_RATE = 10_000.0  # reports a second, which are three million things at 300 s
MOST_QUEUED = 20_000  # messages that mosquitto keeps for a client; of 1,000, its own, it drops those of a tenth second
WRITTEN = 50_000  # states at once; the store has no room for a million that wait
STALL = 10.0  # seconds in which the database takes nothing and nobody reads the log
QUICK_THINGS = 10_000
INTERVAL = 300.0  # seconds between two reports of a thing
HISTORY = 12  # reports of each thing before the benchmark: an hour of them
EVALUATED = 2_000  # things that are evaluated alone, for twice that many reports, of which the second half counts
REPLAYED = 3  # reports of each thing in a recording
READY_WITHIN = 60.0  # seconds

COUNTS = {
    "num-established": ("aws:num-established-tcp-connections", 50, None),
    "bytes-out-5-minutes": ("aws:all-bytes-out", 10_000_000, 300),
    "bytes-out-hour": ("aws:all-bytes-out", 50_000_000, 3600),
    "bytes-in-hour": ("aws:all-bytes-in", 500_000_000, 3600),
    "packets-out-15-minutes": ("aws:all-packets-out", 1_000_000, 900),
}  # a behavior's name: its metric, the most that is normal, and durationSeconds
PRIVATE = ["10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "203.0.113.0/24"]

METHOD = """\
Written by `make bench-detect`. One `amazon-defender-detect` with a profile of ten behaviors (of ports, CIDRs, numbers,
sums over up to an hour and a percentile) and the states of 100,000 things that have reported for an hour. Each of them
sends one report of {size:,} bytes (eight ports, ten connections, traffic, two custom metrics; one in a hundred raises
an alarm), 3,500 a second, to mosquitto over TLS, which shares the cores with Detect and the sender. The delay of a
verdict is from when its report was due to when its reply is there. Then others report 10,000 a second, twice: the
second time the database is locked and nobody reads the log for the first ten seconds. Evaluating alone
(`metric_values` and `Detector.observe`) is CPU time of one thread, with an hour of history. The replay is `--replay` of
a file with three reports of each thing."""

Measured = dict[str, Any]


def main() -> int:
    """Run the benchmark; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the things; writes nothing")
    parser.add_argument("--program", default=str(DETECT), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory:
        profile = write_profile(Path(directory))
        evaluated = measure_evaluation(read_profile(profile), EVALUATED)
        print(f"evaluates {evaluated:,.0f} reports a second ...", flush=True)
        things = QUICK_THINGS if arguments.quick else THINGS
        replayed = measure_replay(Path(directory), profile, things, arguments.program)
        print(f"replays {REPLAYED * things:,} reports in {replayed['cpu']:.0f} s of CPU time ...", flush=True)
        measured = measure_serving(Path(directory) / "quota", profile, things, arguments.program)
        print(f"took {RATE:,.0f} reports a second ...", flush=True)
        full = measure_serving(Path(directory) / "full", profile, things, arguments.program, FULL_RATE)
        print(f"took {full['accepted']:,} of {things:,} at {FULL_RATE:,.0f} a second ...", flush=True)
        stalled = measure_serving(Path(directory) / "stalled", profile, things, arguments.program, FULL_RATE, STALL)
    measured.update({f"replay {name}": value for name, value in replayed.items()})
    measured.update({f"full {name}": value for name, value in full.items()})
    measured.update({f"stalled {name}": value for name, value in stalled.items()})
    bars = list(judge(evaluated, measured, things))
    section = "\n".join([*describe(evaluated, measured, load), *describe_bars(bars)])
    print("\n" + section)
    if not arguments.quick:
        RESULTS.write_text(replace_section(RESULTS.read_text(), HEADING, section))
    return 0 if all(met for *_, met in bars) else 1


def write_profile(directory: Path) -> Path:
    """Write a profile of ten behaviors, each of another sort; return its path."""
    behaviors = [
        make_behavior("tcp-ports", "aws:listening-tcp-ports", "in-port-set", {"ports": [22, 80, 443, 8883, 9100]}),
        make_behavior("udp-ports", "aws:listening-udp-ports", "in-port-set", {"ports": [68, 123, 546, 5353]}),
        make_behavior("destinations", "aws:destination-ip-addresses", "in-cidr-set", {"cidrs": PRIVATE}),
        *(
            make_behavior(name, metric, "less-than-equals", {"count": most}, duration)
            for name, (metric, most, duration) in COUNTS.items()
        ),
        make_behavior("cpu-usage", "cpu_usage", "less-than-equals", {"number": 75}),
        {
            "name": "packets-in-percentile",
            "metric": "aws:all-packets-in",
            "criteria": {
                "comparisonOperator": "less-than-equals",
                "durationSeconds": 300,
                "statisticalThreshold": {"statistic": "p100"},
            },
        },
    ]
    path = directory / "profile.json"
    path.write_text(json.dumps({"securityProfileName": "benchmark", "behaviors": behaviors}))
    return path


def make_behavior(
    name: str, metric: str, comparison: str, value: dict[str, Any], duration: int | None = None
) -> dict[str, Any]:
    """Return a behavior's JSON."""
    criteria = {"comparisonOperator": comparison, "value": value, **({"durationSeconds": duration} if duration else {})}
    return {"name": name, "metric": metric, "criteria": criteria}


def read_sample(busy: float = 12.5) -> Report:
    """Return a report of the fleet as Detect reads it."""
    reading = read_at_once(make_report(0, busy), "json")
    assert reading is not None
    return reading.report


def measure_evaluation(profile: Profile, things: int) -> float:
    """Return how many reports of things with an hour of history one thread evaluates in a second of CPU time."""
    detector, report = Detector(Rules([Attachment(profile)])), read_sample()
    names = [name_of(number) for number in range(things)]
    spent = 0.0
    for round_number in range(2 * HISTORY):
        now, before = 1e9 + round_number * INTERVAL, time.thread_time()
        for name in names:
            detector.observe(name, report, now)
        spent += time.thread_time() - before if round_number >= HISTORY else 0.0
    return things * HISTORY / spent


def measure_replay(directory: Path, profile: Path, things: int, program: str) -> Measured:
    """Return the CPU seconds and the peak memory of replaying three reports of each thing."""
    path, reports = directory / "reports.jsonl", [make_report(0, 12.5).decode(), make_report(0, 99.0).decode()]
    with path.open("w") as file:
        for number in range(REPLAYED * things):
            time_of, name = 1.7e9 + number * INTERVAL / things, name_of(number % things)
            report = reports[number % things % 100 == 0]
            file.write(f'{{"thingName": "{name}", "timestamp": {time_of:.3f}, "report": {report}}}\n')
    command = [sys.executable, program, "--replay", str(path), "--profiles", str(profile)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    path.unlink()
    assert done.stdout.splitlines()[-1].startswith(f"{REPLAYED * things} reports of {things} things evaluated")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "peak": after.ru_maxrss * 1024}  # the largest child so far: nothing else has been run yet


def measure_serving(
    directory: Path, profile: Path, things: int, program: str, rate: float = RATE, stall: float = 0.0
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


def describe(evaluated: float, measured: Measured, load: float) -> Iterator[str]:
    """Make the table of what was measured."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    yield HEADING
    yield ""
    yield METHOD.format(size=len(make_report(0, 12.5)))
    yield ""
    yield f"* {model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    yield f"* paho-mqtt {version('paho-mqtt')}, msgspec {version('msgspec')}, SQLite {sqlite3.sqlite_version}"
    yield f"* load average of the machine before: {load:.2f}"
    yield ""
    yield "| | |"
    yield "|---|---:|"
    yield f"| reports sent | {measured['sent']:,} in {measured['seconds']:.1f} s |"
    yield f"| the sender was late at most, ms | {1e3 * measured['late']:.0f} |"
    yield f"| accepted, rejected | {measured['accepted']:,}, {measured['rejected']:,} |"
    yield f"| kept: reports, alarms | {measured['kept']:,}, {measured['events']:,} |"
    for name in ("p50", "p99", "max"):
        yield f"| publish to verdict, {name}, ms | {1e3 * measured[name]:.0f} |"
    yield f"| p99 of the worst second, ms | {1e3 * measured['worst second']:.0f} |"
    for name, title in (("detect cpu", "Detect"), ("broker cpu", "mosquitto"), ("fleet cpu", "the sender")):
        yield f"| CPU µs for a report: {title} | {1e6 * measured[name] / measured['sent']:.0f} |"
    yield f"| CPU µs for a report: evaluating alone | {1e6 / evaluated:.0f} |"
    for name, title in (("full", "10,000 a second"), ("stalled", "10,000 a second, log and database blocked for 10 s")):
        yield f"| {title}: accepted, kept | {measured[name + ' accepted']:,}, {measured[name + ' kept']:,} |"
        yield f"| {title}: publish to verdict, p99, ms | {1e3 * measured[name + ' p99']:.0f} |"
        cpu = measured[f"{name} detect cpu"] / max(1, measured[f"{name} accepted"])
        yield f"| {title}: CPU µs for a report: Detect | {1e6 * cpu:.0f} |"
        yield f"| {title}: peak RSS, MB | {measured[name + ' peak'] / 1e6:.0f} |"
    yield f"| replay of {REPLAYED} reports of each thing: CPU s | {measured['replay cpu']:.0f} |"
    yield f"| replay: peak RSS, MB | {measured['replay peak'] / 1e6:.0f} |"
    for name, title in (("restored", "restored"), ("rss", "after the reports"), ("peak", "peak")):
        yield f"| Detect's RSS, MB: {title} | {measured[name] / 1e6:.0f} |"


def judge(evaluated: float, measured: Measured, things: int) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each bar's name, demand, measured value, and whether it is met."""
    rate = measured["sent"] / measured["seconds"]
    yield "reports a second", f">= {RATE:,.0f}", f"{rate:,.0f}", rate >= 0.99 * RATE
    for name, key in (("reports accepted", "accepted"), ("reports kept", "kept")):
        yield name, f"= {things:,}", f"{measured[key]:,}", measured[key] == things
    yield "publish to verdict, p99, ms", "< 250", f"{1e3 * measured['p99']:.0f}", measured["p99"] < 0.25
    for name, title in (("full", "10,000 a second"), ("stalled", "10,000 a second, log and database blocked for 10 s")):
        kept = min(measured[f"{name} accepted"], measured[f"{name} kept"])
        yield f"{title}: accepted and kept", f"= {things:,}", f"{kept:,}", kept == things
    spent = measured["full detect cpu"] / max(1, measured["full accepted"])
    yield "10,000 a second: reports for a CPU second", ">= 10,000", f"{1 / spent:,.0f}", spent <= 1e-4
    yield "evaluated a second on one core", ">= 20,000", f"{evaluated:,.0f}", evaluated >= 20_000
    yield (
        f"replay of {REPLAYED * things:,} reports, CPU s",
        "<= 60",
        f"{measured['replay cpu']:.0f}",
        (measured["replay cpu"] <= 60),
    )
    memory = measured["peak"] / 1e6
    yield f"peak RSS with {things:,} things, MB", "<= 400", f"{memory:.0f}", memory <= 400


if __name__ == "__main__":
    sys.exit(main())
