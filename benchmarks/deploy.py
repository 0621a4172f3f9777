"""The benchmark of deploy.py: fleets of 10, 100 and 500 things, made and then found as they should be, on an emulator.

Each run is a process of its own, as a deployer starts it. The emulator, which takes most of a first run, shares the
cores with it, and counts the calls.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.run import RESULTS, describe_bars, replace_section
from tests.fakes.emulator import Account, Emulator

ROOT = Path(__file__).resolve().parent.parent
HEADING = "## Provisioning"
FLEETS, QUICK_FLEETS = (10, 100, 500), (10,)
AGAIN = 7  # second runs, of which the median counts
FIXED, PER_THING = 1.0, 0.01  # seconds that a second run may take
LOOK_EVERY = 0.1  # seconds between two looks at the memory of deploy.py and its Node, each of which takes some ms

METHOD = """\
Written by `make bench-deploy`. `./deploy.py --yes` as a process, with an emulator of AWS on loopback that shares the
cores with it. The first run makes the fleet: keys, templates (by aws-cdk-lib, in Node), stacks, memberships, security
profiles and bundles; most of its time is the emulator's, and the pace below AWS's quotas. The second run finds
everything as it should be: {again} of them, of which the median. CPU is user and system of deploy.py and Node; memory
is the largest sum of their RSS."""


@dataclass(frozen=True)
class Cost:
    """What a run of deploy.py took."""

    seconds: float
    cpu: float  # seconds
    memory: int  # bytes
    calls: int
    writes: int  # calls that change something


@dataclass(frozen=True)
class Fleet:
    """What the runs for a fleet took."""

    things: int
    first: Cost
    again: Sequence[Cost]

    @property
    def seconds_again(self) -> float:
        """The time of a second run."""
        return statistics.median(cost.seconds for cost in self.again)

    @property
    def allowed(self) -> float:
        """The time that a second run may take."""
        return FIXED + PER_THING * self.things


def main() -> int:
    """Run the benchmark; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smallest fleet only; writes nothing")
    quick = parser.parse_args().quick
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory, Emulator(Path(directory)) as emulator:
        fleets = []
        for things in QUICK_FLEETS if quick else FLEETS:
            print(f"deploys {things} things ...", flush=True)
            fleets.append(measure_fleet(emulator.account(), Path(directory, str(things)), things))
    bars = list(judge(fleets))
    section = "\n".join([*describe(fleets, load), *describe_bars(bars)])
    print("\n" + section)
    if not quick:
        RESULTS.write_text(replace_section(RESULTS.read_text(), HEADING, section))
    return 0 if all(met for *_, met in bars) else 1


def measure_fleet(account: Account, directory: Path, things: int) -> Fleet:
    """Deploy a fleet to an empty account, and again when there is nothing to do."""
    directory.mkdir()
    (directory / "things.txt").write_text("".join(f"rpi-{number:04d}\n" for number in range(things)))
    first = measure_run(account, directory)
    again = [measure_run(account, directory) for _ in range(AGAIN)]
    bundles = len(list((directory / "fleet").glob("*.tar")))
    if bundles != things:
        raise SystemExit(f"{things} things got {bundles} bundles")
    return Fleet(things, first, again)


def measure_run(account: Account, directory: Path) -> Cost:
    """Run deploy.py; SystemExit if it fails, since what it took means nothing then."""
    account.forget_calls()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (directory / "deploy.log").open("w+") as log:
        start = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "deploy.py"), "--yes"],
            cwd=directory,
            env={**environment, **account.environment, "no_proxy": "*"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        memory = watch_memory(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            log.seek(0)
            raise SystemExit(f"deploy.py ended with {process.returncode}: {log.read()[-2000:]}")
    most = max(memory(), usage.ru_maxrss * 1024)
    calls, writes = sum(account.calls().values()), sum(account.writes().values())
    return Cost(seconds, usage.ru_utime + usage.ru_stime, most, calls, writes)


def watch_memory(pid: int) -> Callable[[], int]:
    """Watch the memory of a process and its children; return what waits for its end and tells the largest sum."""
    seen = [0]
    thread = threading.Thread(target=note_memory, args=[psutil.Process(pid), seen], daemon=True)
    thread.start()

    def end() -> int:
        thread.join()
        return max(seen)

    return end


def note_memory(process: psutil.Process, seen: list[int]) -> None:
    """Append what a process and its children have now and then, until it ends; bytes."""
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            seen.append(sum(each.memory_info().rss for each in [process, *process.children()]))
            time.sleep(LOOK_EVERY)


def describe(fleets: Sequence[Fleet], load: float) -> Iterator[str]:
    """Make the table of what was measured."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    yield HEADING
    yield ""
    yield METHOD.format(again=AGAIN)
    yield ""
    yield f"* {model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    yield "* " + ", ".join(f"{name} {version(name)}" for name in ("aws-cdk-lib", "boto3", "cryptography", "ministack"))
    yield f"* load average of the machine before: {load:.2f}"
    yield ""
    yield "| things | " + " | ".join(f"{fleet.things:,}" for fleet in fleets) + " |"
    yield "|---|" + "---:|" * len(fleets)
    yield from describe_costs("first run", [[fleet.first] for fleet in fleets])
    yield from describe_costs("second run", [fleet.again for fleet in fleets])


def describe_costs(title: str, costs: Sequence[Sequence[Cost]]) -> Iterator[str]:
    """Make a table's rows of what runs took, a column for each fleet."""
    yield row(f"{title}, s", (f"{middle(each, 'seconds'):.2f}" for each in costs))
    yield row(f"{title}, CPU s", (f"{middle(each, 'cpu'):.2f}" for each in costs))
    yield row(f"{title}, peak memory, MB", (f"{middle(each, 'memory') / 1e6:.0f}" for each in costs))
    yield row(f"{title}, calls of AWS's API", (f"{middle(each, 'calls'):,.0f}" for each in costs))
    yield row(f"{title}, calls that change something", (f"{middle(each, 'writes'):,.0f}" for each in costs))


def middle(costs: Sequence[Cost], name: str) -> float:
    """Return the median of one of the costs."""
    return float(statistics.median(getattr(cost, name) for cost in costs))


def row(title: str, cells: Iterator[str]) -> str:
    """Make a table's row."""
    return f"| {title} | {' | '.join(cells)} |"


def judge(fleets: Sequence[Fleet]) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each bar's name, demand, measured value, and whether it is met."""
    for fleet in fleets:
        name = f"second run with {fleet.things} things, s"
        yield name, f"< {fleet.allowed:.1f}", f"{fleet.seconds_again:.2f}", fleet.seconds_again < fleet.allowed
    writes = sum(cost.writes for fleet in fleets for cost in fleet.again)
    yield "calls of second runs that change something", "= 0", str(writes), writes == 0


if __name__ == "__main__":
    sys.exit(main())
