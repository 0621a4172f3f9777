"""The benchmark of Detect with a million things: memory, restart, a report of each, and questions to what is kept.

Beside it stands what 100,000 things take, measured in the same run. It takes some ten minutes, and says how far it is.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from benchmarks.detect import RATE, write_profile
from benchmarks.evaluation import Measured
from benchmarks.fleet import ODD_ONE, name_of
from benchmarks.run import RESULTS, describe_bars, replace_section
from benchmarks.serving import (
    DETECT,
    ROOT,
    Log,
    broker_command,
    count_kept,
    cpu_seconds,
    keep_states,
    peak_memory,
    pem_options,
    run_fleet,
    start,
    wait_for_line,
    wait_for_port,
)
from defender_detect.console.overview import make_overview
from defender_detect.console.sight import Sight
from defender_detect.console.thing import make_thing
from defender_detect.console.things import make_things
from defender_detect.store.schema import DATABASE
from defender_detect.store.summaries import Summaries
from demo.authority import Authority
from demo.ports import find_free_port

HEADING = "## Detect with a million things"
SIZES = (100_000, 1_000_000)
QUICK_SIZES = (10_000, 100_000)
PATIENCE = 600.0  # seconds for a start
SAY_EVERY = 30.0  # seconds
MOST_BYTES = 1600  # of memory, a thing; the documentation says 1.5 KB

METHOD = """\
Written by `make bench-million`. As above, with one `amazon-defender-detect` for 100,000 things and another one for
1,000,000, whose states it restores; each thing reports once, {rate:,.0f} a second, to mosquitto over TLS. Then Detect
is ended by SIGTERM and started again. Start and restart are from the command to "is ready", with the CPU time of the
process. The questions are commands of their own, with what Python takes to start; the pages are made once, without
HTTP."""


def main() -> int:
    """Run the benchmark; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the things; writes nothing")
    parser.add_argument("--rate", type=float, default=RATE, help="reports a second")
    arguments = parser.parse_args()
    load, measured = os.getloadavg()[0], {}
    for things in QUICK_SIZES if arguments.quick else SIZES:
        with tempfile.TemporaryDirectory() as directory:
            measured[things] = measure(Path(directory), things, arguments.rate)
    bars = list(judge(measured))
    section = "\n".join([*describe(measured, load, arguments.rate), *describe_bars(bars)])
    print("\n" + section)
    if not arguments.quick:
        RESULTS.write_text(replace_section(RESULTS.read_text(), HEADING, section))
    return 0 if all(met for *_, met in bars) else 1


def measure(directory: Path, things: int, rate: float) -> Measured:
    """Return what one Detect with so many things takes."""
    profile, state, authority = write_profile(directory), directory / "state", Authority(directory / "authority")
    say(things, "their states are written")
    keep_states(state, profile, things)
    with contextlib.ExitStack() as stack:
        port = find_free_port()
        start(stack, broker_command(authority, directory, port))
        wait_for_port(port)
        options = ["--endpoint", "localhost", "--port", str(port), *pem_options(authority, authority.issue("detect"))]
        command = [sys.executable, str(DETECT), *options, "--profiles", str(profile), "--state-directory", str(state)]
        say(things, "Detect starts")
        measured, detect, log = measure_start(stack, command, "start")
        measured["restored"] = psutil.Process(detect.pid).memory_info().rss
        before = cpu_seconds(detect.pid)
        with progress(things, detect):
            measured.update(run_fleet(authority, port, things, rate))
        measured["detect cpu"] = cpu_seconds(detect.pid) - before
        measured["rss"], measured["peak"] = psutil.Process(detect.pid).memory_info().rss, peak_memory(detect.pid)
        end = time.monotonic()
        detect.terminate()
        detect.wait(PATIENCE)
        measured["end s"] = time.monotonic() - end
        measured.update(count_kept(state / DATABASE), errors=sum(" ERROR " in line for line in log))
        measured["database"] = (state / DATABASE).stat().st_size
        say(things, "Detect starts again")
        again, detect, log = measure_start(stack, command, "restart")
        measured.update(again, again=sum(" ERROR " in line for line in log))
        say(things, "questions")
        measured.update(measure_questions(state, things))
        detect.terminate()
        detect.wait(PATIENCE)
    return measured


def say(things: int, text: str) -> None:
    """Print how far it is."""
    print(f"{things:,} things: {text} ...", flush=True)


def measure_start(
    stack: contextlib.ExitStack, command: list[str], name: str
) -> tuple[Measured, subprocess.Popen[str], Log]:
    """Start Detect, and return what that takes until it is ready, its process and its log."""
    begun = time.monotonic()
    detect, log = start(stack, command)
    wait_for_line(detect, log, "is ready on", PATIENCE)
    return {f"{name} s": time.monotonic() - begun, f"{name} cpu": cpu_seconds(detect.pid)}, detect, log


@contextlib.contextmanager
def progress(things: int, detect: subprocess.Popen[str]) -> Iterator[None]:
    """Meanwhile print now and then how much memory and time Detect has taken."""
    done, process = threading.Event(), psutil.Process(detect.pid)

    def tell() -> None:
        while not done.wait(SAY_EVERY):
            memory = process.memory_info().rss / 1e6
            say(things, f"they report, Detect has {memory:.0f} MB and took {cpu_seconds(detect.pid):.0f} s of CPU time")

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def measure_questions(state: Path, things: int) -> Measured:
    """Return the seconds and the memory of questions, and the seconds of the console's pages, while Detect runs."""
    last = Summaries(state).last_report()
    thing = last[0] if last else name_of(0)
    questions = {
        "things": ["things", "--json"],
        "active violations": ["violations", "--active"],
        "violations of a thing": ["violations", "--thing", thing],
        "metrics of a thing": ["metrics", thing, "cpu_usage"],
    }
    measured: Measured = {}
    for name, words in questions.items():
        command = [sys.executable, str(DETECT), *words, "--state-directory", str(state)]
        begun = time.monotonic()
        asked = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
        _, status, used = os.wait4(asked.pid, 0)
        asked.returncode = os.waitstatus_to_exitcode(status)
        assert asked.returncode == 0, command
        measured[f"question {name}"] = time.monotonic() - begun
        measured["question peak"] = max(measured.get("question peak", 0), used.ru_maxrss * 1024)
    for name, make in pages(Sight(Summaries(state), lambda: None), thing).items():
        begun = time.monotonic()
        make()
        measured[f"page {name}"] = time.monotonic() - begun
    return measured


def pages(sight: Sight, thing: str) -> dict[str, Callable[[], object]]:
    """Return what makes each of the console's pages."""
    return {
        "overview": lambda: make_overview(sight, sight.look()),
        "things": lambda: make_things(sight, sight.look(), "", "", 1),
        "things, searched": lambda: make_things(sight, sight.look(), thing[-5:], "", 1),
        "thing": lambda: make_thing(sight, sight.look(), thing),
    }


def describe(measured: dict[int, Measured], load: float, rate: float) -> Iterator[str]:
    """Make the table of what was measured."""
    yield f"{HEADING}\n\n{METHOD.format(rate=rate)}\n\n* load average of the machine before: {load:.2f}\n"
    yield f"| things | {' | '.join(f'{things:,}' for things in measured)} |"
    yield "|---|" + "---:|" * len(measured)
    for title, show in ROWS.items():
        yield f"| {title} | {' | '.join(show(things, each) for things, each in measured.items())} |"
    for name in (name for name in next(iter(measured.values())) if name.startswith(("question ", "page "))):
        if name != "question peak":
            yield f"| {name}, s | {' | '.join(f'{each[name]:.2f}' for each in measured.values())} |"


ROWS: dict[str, Callable[[int, Measured], str]] = {
    "reports accepted, kept": lambda _, each: f"{each['accepted']:,}, {each['kept']:,}",
    "alarms, of as many as were due": lambda things, each: f"{each['events']:,} of {things // ODD_ONE:,}",
    "publish to verdict, p99, ms": lambda _, each: f"{1e3 * each['p99']:.0f}",
    "CPU µs for a report": lambda _, each: f"{1e6 * each['detect cpu'] / each['sent']:.0f}",
    "RSS, MB: restored": lambda _, each: f"{each['restored'] / 1e6:,.0f}",
    "RSS, MB: after the reports": lambda _, each: f"{each['rss'] / 1e6:,.0f}",
    "RSS, MB: peak": lambda _, each: f"{each['peak'] / 1e6:,.0f}",
    "bytes of peak RSS a thing": lambda things, each: f"{each['peak'] / things:,.0f}",
    "start, s (CPU s)": lambda _, each: f"{each['start s']:.1f} ({each['start cpu']:.1f})",
    "end, s": lambda _, each: f"{each['end s']:.1f}",
    "restart, s (CPU s)": lambda _, each: f"{each['restart s']:.1f} ({each['restart cpu']:.1f})",
    "database, MB": lambda _, each: f"{each['database'] / 1e6:,.0f}",
    "questions: peak RSS, MB": lambda _, each: f"{each['question peak'] / 1e6:,.0f}",
}


def judge(measured: dict[int, Measured]) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each bar's name, demand, measured value, and whether it is met."""
    for things, each in measured.items():
        for name, key in (("accepted", "accepted"), ("kept", "kept")):
            yield f"{things:,} things: reports {name}", f"= {things:,}", f"{each[key]:,}", each[key] == things
        due = things // ODD_ONE
        yield f"{things:,} things: alarms", f"= {due:,}", f"{each['events']:,}", each["events"] == due
    things, largest = max(measured.items())
    bytes_a_thing = largest["peak"] / things
    yield "bytes of peak RSS a thing", f"<= {MOST_BYTES:,}", f"{bytes_a_thing:,.0f}", bytes_a_thing <= MOST_BYTES
    yield "restart, CPU s", "<= 30", f"{largest['restart cpu']:.1f}", largest["restart cpu"] <= 30
    slowest = max(value for name, value in largest.items() if name.startswith("page "))
    yield "the slowest of the console's pages, s", "<= 3", f"{slowest:.2f}", slowest <= 3


if __name__ == "__main__":
    sys.exit(main())
