"""The demo: an authority, a broker with mutual TLS and Detect on loopback, and this machine as the device."""

from __future__ import annotations

import argparse
import contextlib
import json
import queue
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from demo.authority import Authority
from demo.console import console
from demo.intruder import provoke_alarm
from demo.ports import find_free_port
from demo.programs import ROOT, name_of, program, say, show
from demo.report import record_report, show_report
from demo.settings import THING, read_normal_ports, write_detect, write_profile, write_publisher
from demo.witness import Witness

DEBUG = " : DEBUG : "
REPORT = re.compile(r"report (\d+): (\{.*\})")
READY = re.compile(r"is ready on \S+?:\d+")
READY_TIMEOUT = 30.0  # seconds
ENOUGH = 30.0  # seconds in which an alarm comes and clears, at a report every five


def main(argv: list[str] | None = None) -> int:
    """Run Detect and the publisher until Ctrl-C, or for a number of seconds; return the exit status.

    It is 0 if a report was accepted, and, unless it ended too soon for that, an alarm came and cleared.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, help="stop after so many seconds (default: at Ctrl-C)")
    parser.add_argument("--directory", type=Path, default=ROOT / ".demo", help="where to keep everything")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    directory, witness = arguments.directory.resolve(), Witness()
    started = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt):
        run(directory, arguments.seconds, witness)
    missing = witness.missing()
    say(f"{len(witness.accepted)} reports of this machine were accepted")
    for sentence in missing:
        say(f"not seen: {sentence}")
    tell_what_next(directory)
    return 1 if not witness.accepted or (missing and time.monotonic() - started >= ENOUGH) else 0


def run(directory: Path, seconds: float | None, witness: Witness) -> None:
    """Run both programs, and provoke an alarm on the way."""
    authority = Authority(directory / "authority")
    say(f"a throw-away certificate authority is in {name_of(directory)}/authority")
    start_afresh(directory)
    port, pages = find_free_port(), find_free_port()
    normal = read_normal_ports() | {port, pages}
    with contextlib.ExitStack() as running:
        adopt = running.enter_context(detect(directory, authority, port, normal, witness))
        running.enter_context(publisher(directory, authority, port, witness))
        running.enter_context(console(directory / "detect.json", pages))
        say(f"stops after {seconds:g} s" if seconds else "stops at Ctrl-C")
        deadline = time.monotonic() + seconds if seconds else None
        provoke_alarm(witness, normal, deadline, adopt)
        time.sleep(max(0.0, deadline - time.monotonic())) if deadline else signal.pause()


def start_afresh(directory: Path) -> None:
    """Remove what an earlier demo kept, so that all that is told later is of this one."""
    shutil.rmtree(directory / "detect", ignore_errors=True)
    (directory / "reports.jsonl").unlink(missing_ok=True)


@contextlib.contextmanager
def detect(
    directory: Path, authority: Authority, port: int, normal: set[int], witness: Witness
) -> Iterator[Callable[[], None]]:
    """Run amazon-defender-detect with its built-in broker and a profile of this machine until it is left.

    What it yields makes the ports normal that other programs have opened since.
    """
    profile = write_profile(directory / "profile.json", normal)
    say(f"the TCP ports that listen now are normal, by the security profile {name_of(profile)}")
    files = authority.issue("broker", ["localhost", "127.0.0.1"])
    config = write_detect(directory / "detect.json", port, authority.certificate, files, profile)
    ready: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def hear(line: str | None) -> None:
        if line is None or READY.search(line):
            ready.put(line is not None)
        if line is not None:
            show("detect", line)
            witness.hear(line)

    def adopt() -> None:
        opened = read_normal_ports() - normal
        if opened:
            say(f"other programs listen on {', '.join(map(str, sorted(opened)))} by now, which becomes normal (SIGHUP)")
            normal.update(opened)
            write_profile(profile, normal)
            process.send_signal(signal.SIGHUP)

    with program(["amazon-defender-detect", config], hear) as process:
        if not ready.get(timeout=READY_TIMEOUT):
            raise SystemExit("demo: amazon-defender-detect did not start; its last words are above")
        yield adopt


@contextlib.contextmanager
def publisher(directory: Path, authority: Authority, port: int, witness: Witness) -> Iterator[None]:
    """Run amazon-defender-publisher for this machine until it is left; record what is accepted."""
    config = write_publisher(directory / "publisher.json", port, authority.certificate, authority.issue(THING))
    say(f"the publisher's configuration is {name_of(config)}, Detect's is {name_of(directory / 'detect.json')}")
    contents: dict[str, str] = {}

    def hear(line: str | None) -> None:
        if line is None:
            return
        contents.update(REPORT.findall(line))
        if DEBUG not in line:
            show("publisher", line)
        for report_id in witness.hear(line):
            report = json.loads(contents.pop(report_id))
            record_report(directory / "reports.jsonl", THING, report)
            if len(witness.accepted) == 2:  # the first has no growth yet
                show_report(report)

    with program(["amazon-defender-publisher", config], hear):
        yield


def tell_what_next(directory: Path) -> None:
    """Say how to look at what Detect keeps, and how to try a profile on what was recorded."""
    kept = f"--state-directory {name_of(directory / 'detect')}"
    baseline = "configs/security-profiles/examples/network-baseline.json"
    say("what Detect keeps can be asked now, and while it runs (--json: in the shape of AWS's API):")
    say(f"  ./amazon-defender-detect violations {kept}")
    say(f"  ./amazon-defender-detect metrics {THING} aws:num-listening-tcp-ports {kept}")
    say(f"  ./amazon-defender-detect things {kept}")
    say("and looked at in a browser:")
    say(f"  ./amazon-defender-detect console {kept}")
    say("another security profile can be tried on the reports of this demo, without a broker:")
    say(f"  ./amazon-defender-detect --replay {name_of(directory / 'reports.jsonl')} --profiles {baseline}")
    say("a report on standard output, without a broker: ./amazon-defender-publisher --dry-run")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
