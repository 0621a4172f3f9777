"""The verdict: whether a report arrived since the start, or the one thing to do.

The daemon says in its status file what became of each report. That is looked at in this process, because a Python that
is started to ask twice a second costs a small device more than the daemon does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configuration import parse, section
from credentials import KEY
from files import read_file
from problem import Problem
from product import PUBLISHER
from surroundings import clean

POLL = 0.5  # seconds between two looks at the status
CONNECT_WITHIN = 30.0  # seconds after the start; the program tries again after up to 1, 2, 4, 8 ... s
LONG = 15.0  # seconds of waiting, from which on it is said how long it takes
REPORT_WITHIN = 60.0  # seconds after a report is due; the first is due within 10 s, and a verdict takes at most 15
LONGEST_WAIT = 400.0  # seconds; an upgrade waits until an interval of 300 s has passed since the last report
STATUS, STATE = "status.json", "/var/lib/amazon-defender-publisher"
ARRIVED = ("accepted", "delivered")
THROTTLED = "Throttled"  # what AWS says to a report less than 5 minutes after another one of the thing
INTERVAL = 300  # seconds, unless the daemon says otherwise
AWS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")  # what the names of AWS's endpoints end with

Status = dict[str, Any]


def wait_for_verdict(arguments: argparse.Namespace) -> str:
    """Wait for the first verdict after `since`; print it, or what the doctor finds, which is exit status 1."""
    return await_verdict(arguments.program, arguments.config, arguments.since, PUBLISHER.user)


def await_verdict(command: Path, config: Path, since: float, user: str) -> str:
    """Return what became of the first report after `since`; raises Problem with what the doctor finds instead."""
    agent = section(parse(read_file(config), str(config)), "agent")
    path = Path(str(agent.get("state_directory") or STATE)) / STATUS
    endpoint = str(section(agent, "authentication").get("endpoint"))
    status: Status = {}
    deadline, told = time.time() + CONNECT_WITHIN, False
    while time.time() < deadline:
        status = read_status(path)
        if (status.get("since") or 0) >= since:
            report, connection = status.get("last_report") or {}, status.get("connection") or {}
            if report.get("time", 0) >= since:
                if found := describe(report, status, endpoint):
                    return found
                break
            if connection.get("connected"):
                due = (status.get("next_report") or time.time()) + REPORT_WITHIN
                deadline = max(deadline, min(due, since + LONGEST_WAIT))
                told = told or tell_wait(status)
        time.sleep(POLL)
    raise Problem(f"no report was accepted: {diagnose(command, config, user) or last_error(status)}")


def describe(report: Status, status: Status, endpoint: str) -> str:
    """Return the line about a report that proves that reports arrive, empty for one that does not."""
    number, verdict = report.get("report_id"), str(report.get("verdict"))
    if verdict == "delivered":
        return f"report {number} delivered; nobody answers on a topic of your own"
    if verdict == "accepted":
        return f"report {number} accepted by {'AWS IoT Device Defender' if endpoint.endswith(AWS) else endpoint}"
    if THROTTLED in verdict:
        due = max(status.get("next_report") or 0, report.get("time", 0) + (status.get("interval") or INTERVAL))
        at = time.strftime("%H:%M:%S", time.localtime(due))
        after = "throttled, as it came soon after another one"
        return f"report {number} {after}: reports arrive, and the next is due at {at}"
    return ""


def read_status(path: Path) -> Status:
    """Return the daemon's status, empty if there is none; the directory is the service's, and so are its tricks."""
    try:
        status = json.loads(read_file(path, follow=False).decode("utf-8", "replace"))
    except (OSError, ValueError, RecursionError, Problem):
        return {}
    return status if isinstance(status, dict) else {}


def tell_wait(status: Status) -> bool:
    """Say how long it takes where that is long; return whether it was said."""
    wait = (status.get("next_report") or 0) - time.time()
    if wait > LONG:
        print(
            f"connected; the next report is due in {wait:.0f} s (Ctrl-C does no harm) ...", file=sys.stderr, flush=True
        )
    return wait > LONG


def diagnose(command: Path, config: Path, user: str) -> str:
    """Return what the doctor says is wrong and what to do, empty if it finds nothing."""
    with as_service(user, config.with_name(KEY)) as (copy, identity):
        try:
            words = [str(command), "--doctor", "--json", *(["-k", str(copy)] if copy else []), str(config)]
            done = subprocess.run(
                words, check=False, capture_output=True, cwd="/",
                stdin=subprocess.DEVNULL, env=clean(os.environ),
                umask=0o022,  # what the doctor may leave in the state is for the service to read
                **identity,
            )  # fmt: skip
            answer = json.loads(done.stdout.decode("utf-8", "replace"))
        except (OSError, ValueError):
            return ""
    for rung in answer.get("rungs", []) if isinstance(answer, dict) else []:
        if rung.get("verdict") == "fail":
            return f"{rung['rung']}: {rung['says']}; {rung.get('advice') or 'look into the log'}"
    return ""


@contextlib.contextmanager
def as_service(user: str, key: Path) -> Iterator[tuple[Path | None, dict[str, Any]]]:
    """Have the identity with which a question is asked as the service's user, and a copy of the key that is its own.

    Both are nothing where this is not root, or there is no such user.

    The doctor runs the commands of the configuration, which are not root's.
    """
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        account = None
    if os.geteuid() != 0 or account is None or not key.exists():
        yield None, {}
        return
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / key.name
        with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as file:
            file.write(read_file(key))
            os.fchown(file.fileno(), account.pw_uid, account.pw_gid)
        os.chown(directory, account.pw_uid, account.pw_gid)
        yield copy, {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def last_error(status: Status) -> str:
    """Return the last error that the program told."""
    return str((status.get("last_error") or {}).get("text") or "the program says nothing; look into its log")
