"""The benchmark of amazon-defender-cloudwatch: memory, CPU and time of a backlog, and no line lost over kills.

With `--upstream DIRECTORY`, a checkout of https://github.com/awslabs/amazon-cloudwatch-publisher, the program that it
comes from runs beside it: its memory, its end at SIGTERM, and the same trial. Everything speaks TLS on loopback.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.run import RESULTS, describe_bars, replace_section
from demo.authority import Authority
from tests.cloudwatch.trial import Outcome, Trial, by_name
from tests.fakes.emulator import Account, Emulator

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "amazon-defender-cloudwatch"
ENVIRONMENTS = ROOT / ".venv" / "bench"  # each program in an environment with its own packages and no others
OURS, THEIRS = (str(ENVIRONMENTS / name / "bin" / "python") for name in ("ours", "cloudwatch"))
HEADING = "## CloudWatch"
THING = "rpi-0001"
BACKLOG = 100_000_000  # bytes
SETTLED_AFTER = 15.0  # seconds; metrics and logs have been sent several times by then
PATIENCE = 180.0  # seconds for a backlog
STARTED_WITHIN = 60.0  # seconds
KILLS, ROTATIONS, LINES = 25, 15, 6_000
LONGEST_STOP = 10.0  # seconds that a program has to end
LARGEST_RSS = 24.7  # MB
WORDS = (
    *("accepted", "connection", "from", "request", "GET", "/api/v1/items", "user", "failed", "timeout", "worker"),
    *("queue", "INFO", "WARN", "after", "retry", "sensor", "value"),
)
METHOD = """\
Written by `make bench-cloudwatch`. Everything goes over TLS to a double of AWS on loopback: credentials by the device's
certificate, 14 metrics and one log. The backlog is {megabytes} MB of lines of 40 to 200 bytes that are there when the
program starts. CPU is user and system; memory is RSS as Linux counts it, in 10^6 bytes. In the trial the log is written
and renamed while the program is killed and started again, against an emulator that keeps every event."""


class Measured(NamedTuple):
    """What a program took."""

    rss: float  # MB, at rest
    uss: float  # of that, what no other process shares
    stop: float | None  # seconds from SIGTERM to its end, None where it was still there after ten


class Backlog(NamedTuple):
    """What a backlog took."""

    seconds: float
    cpu: float  # seconds
    peak: float  # MB
    lines: int
    arrived: int
    size: int  # bytes


def main() -> int:
    """Run the benchmark; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", type=Path, metavar="DIRECTORY", help="a checkout of the CloudWatch publisher")
    parser.add_argument("--megabytes", type=int, default=BACKLOG // 1_000_000, help="of backlog")
    parser.add_argument("--no-trial", action="store_true", help="leave out the trial with kills, which takes minutes")
    arguments = parser.parse_args()
    subprocess.run([OURS, "-m", "compileall", "-q", *map(str, ROOT.glob("de*_*"))], check=True)
    with tempfile.TemporaryDirectory() as name:
        scene = Scene(Path(name))
        with scene.aws() as double:
            theirs = None
            if arguments.upstream:
                theirs = measure(scene, double, *upstreams_on(scene, double, arguments.upstream))
            ours = measure(scene, double, *ours_on(scene, double))
        with scene.aws() as double:
            shutil.rmtree(scene.directory / "state")
            backlog = catch_up(scene, double, arguments.megabytes * 1_000_000)
    trials = {} if arguments.no_trial else dict(take_trials(arguments.upstream))
    bars = list(judge(ours, theirs, backlog, trials))
    print("\n".join(describe_bars(bars)))
    if not arguments.no_trial and arguments.upstream:
        method = METHOD.format(megabytes=arguments.megabytes)
        section = "\n".join([HEADING, "", method, "", *describe_surroundings(), *describe_bars(bars)])
        RESULTS.write_text(replace_section(RESULTS.read_text(), HEADING, section))
    return 0 if all(met for *_, met in bars) else 1


def describe_surroundings() -> Iterator[str]:
    """Say on what and beside how much else this was measured."""
    yield f"* {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    yield f"* load average of the machine at the end: {os.getloadavg()[0]:.2f}"


class Scene:
    """A directory with an authority, a device's certificate and a log, and a double of AWS that is asked how it is."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "app.log"
        self.log.touch()
        self.authority = Authority(directory / "authority")
        self.device = self.authority.issue(THING)
        self.server = self.authority.issue("aws", ["localhost", "127.0.0.1"])

    @contextlib.contextmanager
    def aws(self) -> Iterator[Double]:
        """Run a double of AWS."""
        files = (self.server.certificate, self.server.private_key, self.authority.certificate)
        command = [sys.executable, "-m", "benchmarks.aws_double", *map(str, files)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            try:
                yield Double(process)
            finally:
                process.kill()


class Double:
    """The double's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.port = int(process.stdout.readline())

    def events(self) -> int:
        """Return how many events it has."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextlib.contextmanager
def running(command: list[str], **environment: str) -> Iterator[psutil.Process]:
    """Run a program; whatever it started ends with it."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    ) as started:
        process = psutil.Process(started.pid)
        try:
            yield process
        finally:
            for each in [*process.children(recursive=True), process] if process.is_running() else []:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()


def ours_on(scene: Scene, double: Double, **logs: Any) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment of this project's program, as its unit has it."""
    provider = {"endpoint": f"localhost:{double.port}", "role_alias": "device"}
    device, authority = scene.device, str(scene.authority.certificate)
    authentication = {"certificate": str(device.certificate), "private_key": str(device.private_key)}
    agent = {
        "thing_name": THING, "region": "eu-west-1", "state_directory": str(scene.directory / "state"),
        "authentication": {**authentication, "root_ca": authority, "credentials": provider},
        "metrics_collection_interval": 5, "logs_collection_interval": 1,
    }  # fmt: skip
    collected = {"files": {"collect_list": [{"file_path": str(scene.log), **logs}]}}
    config = scene.directory / "ours.json"
    config.write_text(
        json.dumps({"agent": agent, "metrics": {"namespace": "X"}, "logs": {"logs_collected": collected}})
    )
    environment = {"AWS_ENDPOINT_URL": f"https://localhost:{double.port}", "MALLOC_ARENA_MAX": "1"}
    return [OURS, str(PROGRAM), str(config)], environment


def upstreams_on(scene: Scene, double: Double, checkout: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment of the program that this one comes from.

    Its certificate and key are one file, because today's requests takes no list of two.
    """
    both = scene.directory / "both.pem"
    both.write_bytes(scene.device.certificate.read_bytes() + scene.device.private_key.read_bytes())
    authentication = {
        "iotUrl": f"localhost:{double.port}", "roleAlias": "device", "thingName": THING,
        "certificate": str(both),
    }  # fmt: skip
    config = scene.directory / "theirs.json"
    config.write_text(json.dumps(upstreams_configuration(scene.directory, scene.log, authentication)))
    trust = {"AWS_CA_BUNDLE": str(scene.authority.certificate), "REQUESTS_CA_BUNDLE": str(scene.authority.certificate)}
    environment = {"AWS_ENDPOINT_URL": f"https://localhost:{double.port}", **trust}
    return [THEIRS, str(checkout / "amazon-cloudwatch-publisher"), str(config)], environment


def upstreams_configuration(directory: Path, log: Path, authentication: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration of that program."""
    agent = {
        "instance": {"prefix": "rpi", "serial": "0001"}, "region": "eu-west-1",
        "logfile": str(directory / "theirs.log"),
        "metrics_collection_interval": 5, "logs_collection_interval": 1, "authentication": authentication,
    }  # fmt: skip
    collected = {"files": {"collect_list": [{"file_path": str(log)}]}}
    logs = {"logs_collected": collected, "log_group_name": "/system/rpi/{instance_id}"}
    return {"agent": agent, "metrics": {"namespace": "X"}, "logs": logs}


def _arrives(scene: Scene, double: Double, before: int) -> bool:
    write(scene.log, "a line\n")
    return double.events() > before


def measure(scene: Scene, double: Double, command: list[str], environment: dict[str, str]) -> Measured:
    """Return what a program takes that sends metrics and a few lines."""
    before = double.events()
    with running(command, **environment) as process:
        wait_for(lambda: _arrives(scene, double, before))
        time.sleep(SETTLED_AFTER)
        memory = process.memory_full_info()
        process.terminate()
        begun = time.monotonic()
        gone, _ = psutil.wait_procs([process], timeout=LONGEST_STOP)
        return Measured(memory.rss / 1e6, memory.uss / 1e6, time.monotonic() - begun if gone else None)


def write(path: Path, text: str) -> None:
    """Append to a log."""
    with path.open("a") as log:
        log.write(text)


def catch_up(scene: Scene, double: Double, size: int) -> Backlog:
    """Return what it takes to send a log of so many bytes that is there at the start."""
    lines = write_backlog(scene.log, size)
    command, environment = ours_on(scene, double, **{"from": "start"})
    before, peak = double.events(), 0.0
    with running(command, **environment) as process:
        begun = time.monotonic()
        while double.events() - before < lines and time.monotonic() - begun < PATIENCE:
            peak = max(peak, process.memory_info().rss / 1e6)
            time.sleep(0.02)
        seconds, cpu = time.monotonic() - begun, sum(process.cpu_times()[:2])
        return Backlog(seconds, cpu, peak, lines, double.events() - before, scene.log.stat().st_size)


def write_backlog(path: Path, size: int) -> int:
    """Write a log; return how many lines it has."""
    dice, lines = random.Random(1), 0  # noqa: S311 - no secret
    with path.open("w") as log:
        while log.tell() < size:
            words = " ".join(dice.choices(WORDS, k=dice.randrange(3, 20)))
            log.write(f"2026-11-30T10:{lines % 60:02d}:00.{lines % 1000:03d}Z app[{dice.randrange(9999)}]: {words}\n")
            lines += 1
    return lines


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + STARTED_WITHIN
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("a program did not send anything")
        time.sleep(0.5)


def take_trials(checkout: Path | None) -> Iterator[tuple[str, Outcome]]:
    """Yield who took part in the trial, and what became of the lines."""
    with tempfile.TemporaryDirectory() as name, Emulator(Path(name)) as emulator:
        for who in ("ours", "upstream") if checkout else ("ours",):
            directory = Path(name) / who
            directory.mkdir()
            account = emulator.account()
            trial = Upstreams(directory, account, checkout) if who != "ours" and checkout else Trial(directory, account)
            yield who, trial.run(LINES, KILLS, ROTATIONS, by_name)


class Upstreams(Trial):
    """The trial with the program that this one comes from; what it started dies with it."""

    life = 4.0  # seconds, most of which its start takes

    def __init__(self, directory: Path, account: Account, checkout: Path) -> None:
        super().__init__(directory, account)
        self._checkout = checkout
        self.config.write_text(json.dumps(upstreams_configuration(directory, self.log, {})))

    def start(self, **also: str) -> subprocess.Popen[bytes]:
        """Start it as the leader of a session, so that its `tail` can be ended with it."""
        command = [THEIRS, str(self._checkout / "amazon-cloudwatch-publisher"), str(self.config)]
        environment = {**os.environ, **self.account.environment, "AWS_DEFAULT_REGION": self.account.region, **also}
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def has_started(self, times: int) -> bool:
        """Whether it has made its stream so many times, after which it follows the log."""
        log = self.directory / "theirs.log"
        return log.exists() and log.read_bytes().count(b"Log stream name is") >= times

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End it, and its `tail`."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End it, which SIGTERM does not."""
        self.kill(process)


def judge(
    ours: Measured, theirs: Measured | None, backlog: Backlog, trials: dict[str, Outcome]
) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each bar's name, demand, measured value, and whether it is met."""
    own = f"{ours.rss:.1f} (shared with no other process: {ours.uss:.1f})"
    yield "RSS at rest, MB", f"<= {LARGEST_RSS}", own, ours.rss <= LARGEST_RSS
    if theirs is not None:
        ratio, shown = ours.rss / theirs.rss, f"upstream: {theirs.rss:.1f} MB, of which {theirs.uss:.1f} its own"
        yield "RSS over upstream's", "<= 0.4", f"{ratio:.2f} ({shown})", ratio <= 0.4
    stop = ours.stop if ours.stop is not None else LONGEST_STOP
    yield "SIGTERM to the end, s", "<= 2", f"{stop:.2f}{_stop_of(theirs)}", stop <= 2
    per_megabyte = backlog.cpu * 1e9 / backlog.size
    yield "CPU per MB of log, ms", "<= 40", f"{per_megabyte:.1f}", per_megabyte <= 40
    arrived = backlog.arrived == backlog.lines
    caught_up = f"{backlog.seconds:.1f} ({backlog.arrived:,} of {backlog.lines:,} lines)"
    yield f"{backlog.size / 1e6:.0f} MB of backlog, s", "<= 60", caught_up, arrived and backlog.seconds <= 60
    yield "its peak RSS, MB", "<= 30", f"{backlog.peak:.1f}", backlog.peak <= 30
    if "ours" in trials:
        outcome, name = trials["ours"], f"{KILLS} kills, {ROTATIONS} renames, {LINES:,} lines"
        well = (outcome.lost, outcome.twice, outcome.in_order) == (0, 0, True)
        beside = f" (upstream: {describe(trials['upstream'])})" if "upstream" in trials else ""
        yield name, "0 lost, 0 twice, in order", describe(outcome) + beside, well


def describe(outcome: Outcome) -> str:
    """Say what became of the lines of a trial."""
    return f"{outcome.lost:,} lost, {outcome.twice} twice, {'in order' if outcome.in_order else 'in another order'}"


def _stop_of(theirs: Measured | None) -> str:
    if theirs is None:
        return ""
    return f" (upstream: {f'{theirs.stop:.1f}' if theirs.stop is not None else f'not within {LONGEST_STOP:.0f}'})"


if __name__ == "__main__":
    sys.exit(main())
