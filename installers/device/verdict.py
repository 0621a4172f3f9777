"""The verdict: whether AWS IoT Device Defender accepted a report since the start, or the one thing to do."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

from problem import Problem

POLL = 0.5  # seconds between two looks at the status
CONNECT_WITHIN = 30.0  # seconds after the start; the program tries again after up to 1, 2, 4, 8 ... s
LONG = 15.0  # seconds of waiting, from which on it is said how long it takes
REPORT_WITHIN = 60.0  # seconds after a report is due; the first is due within 10 s, and a verdict takes at most 15
LONGEST_WAIT = 400.0  # seconds; an upgrade waits until an interval of 300 s has passed since the last report


def wait_for_verdict(arguments: argparse.Namespace) -> str:
    """Wait for the first verdict after `since`; print it, or what the doctor finds, which is exit status 1."""
    status: dict[str, Any] = {}
    deadline, told = time.time() + CONNECT_WITHIN, False
    while time.time() < deadline:
        health = ask_program(arguments, "--status")
        status = health.get("status") or {}
        if (status.get("since") or 0) >= arguments.since:
            report, connection = status.get("last_report") or {}, status.get("connection") or {}
            if report.get("time", 0) >= arguments.since and report.get("verdict") in ("accepted", "delivered"):
                return confirm(arguments, report)
            if report.get("time", 0) >= arguments.since:
                break
            if connection.get("connected"):
                due = (status.get("next_report") or time.time()) + REPORT_WITHIN
                deadline = max(deadline, min(due, arguments.since + LONGEST_WAIT))
                told = told or tell_wait(status)
        time.sleep(POLL)
    raise Problem(f"no report was accepted: {diagnose(arguments) or last_words(status)}")


def confirm(arguments: argparse.Namespace, report: dict[str, Any]) -> str:
    """Return the line about a report that arrived; raises Problem if the doctor finds something all the same."""
    problem = diagnose(arguments)
    if problem:
        raise Problem(f"report {report['report_id']} {report['verdict']}, but {problem}")
    if report["verdict"] == "delivered":
        return f"report {report['report_id']} delivered; nobody answers on a topic of your own"
    return f"report {report['report_id']} accepted by AWS IoT Device Defender"


def tell_wait(status: dict[str, Any]) -> bool:
    """Say how long it takes where that is long; return whether it was said."""
    wait = (status.get("next_report") or 0) - time.time()
    if wait > LONG:
        print(
            f"connected; the next report is due in {wait:.0f} s (Ctrl-C does no harm) ...", file=sys.stderr, flush=True
        )
    return wait > LONG


def diagnose(arguments: argparse.Namespace) -> str:
    """Return what the doctor says is wrong and what to do, empty if it finds nothing."""
    for rung in ask_program(arguments, "--doctor").get("rungs", []):
        if rung.get("verdict") == "fail":
            return f"{rung['rung']}: {rung['says']}; {rung.get('advice') or 'look into the log'}"
    return ""


def last_words(status: dict[str, Any]) -> str:
    """Return the last error that the program told."""
    return str((status.get("last_error") or {}).get("text") or "the program says nothing; look into its log")


def ask_program(arguments: argparse.Namespace, question: str) -> dict[str, Any]:
    """Return the program's answer to a question, as JSON has it; nothing, if it has none."""
    done = subprocess.run(
        [arguments.program, question, "--json", arguments.config],
        check=False,
        capture_output=True,
        text=True,
        umask=0o022,  # what the doctor may leave in the state is for the service to read
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
