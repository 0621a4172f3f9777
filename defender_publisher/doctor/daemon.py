"""What the running daemon tells of its connection and reports, in its status file, so that nobody pushes it out."""

from __future__ import annotations

import contextlib

from defender_daemon.dates import date_text
from defender_daemon.health import PATIENCE
from defender_daemon.ladder import Failed, NotTried
from defender_daemon.status import StatusError
from defender_publisher.doctor.case import Case
from defender_publisher.state import publisher_runs
from defender_publisher.status import LastReport, Status, config_hash, read_status

ASKED = "reported by the running daemon (pid {pid}), which a second connection would disconnect"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0  # seconds


def tell_connection(case: Case) -> str:
    """Say since when the daemon is connected."""
    status = _status_of(case)
    connection, asked = status.connection, ASKED.format(pid=status.pid) + _of_another_configuration(case, status)
    since = ago(case.clock() - connection.since)
    if connection.connected:
        return f"connected since {date_text(connection.since)} ({since}): {asked}"
    raise Failed(f"not connected since {date_text(connection.since)} ({since}): {asked}", _last_error(case, status))


def tell_subscriptions(case: Case) -> str:
    """Say that the daemon has its subscriptions: it calls itself connected only then."""
    return f"granted to the daemon, which counts as connected only then (pid {_status_of(case).pid})"


def tell_report(case: Case) -> str:
    """Say what became of the daemon's last report, and fail when that was none that arrived, or is long ago."""
    status = _status_of(case)
    report = status.last_report
    if report is None:
        raise NotTried(f"the daemon has not reported yet{_next(case, status)}")
    age = case.clock() - report.time
    said = f"the daemon's last report, {report.report_id}, {ago(age)}: {report.verdict}{_next(case, status)}"
    if not _arrived(case, status, report):
        raise Failed(said, _last_error(case, status))
    if age > PATIENCE * status.interval:
        raise Failed(said, f"more than two intervals ago; {_last_error(case, status)}")
    return said


def proof_that_reports_arrive(case: Case) -> str | None:
    """Return a word on a report of the daemon that was accepted under this configuration, None if there is none."""
    if not hasattr(case, "settings"):
        return None
    directory = str(case.settings.agent.state_directory)
    with contextlib.suppress(OSError, StatusError):
        status = read_status(directory) if publisher_runs(directory) else None
        if status is None or status.last_report is None or status.config_hash != config_hash(case.settings):
            return None
        report, age = status.last_report, case.clock() - status.last_report.time
        if report.verdict == "accepted" and age <= PATIENCE * status.interval:
            accepted = f"the running daemon's report {report.report_id} was accepted {ago(age)}"
            return f"{accepted}, so this does not keep reports from arriving"
    return None


def ago(seconds: float) -> str:
    """Say how long ago something was, in the largest unit that leaves two of it."""
    for name, unit in (("days", DAY), ("h", HOUR), ("min", MINUTE)):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name} ago"
    return f"{max(seconds, 0.0):.0f} s ago"


def _status_of(case: Case) -> Status:
    directory = str(case.settings.agent.state_directory)
    try:
        status = read_status(directory)
    except StatusError as error:
        raise Failed(*error.problem) from error
    if status is None:
        says = f"a daemon is running (a second connection would disconnect it), and has written no status: {directory}"
        raise Failed(says, "check that the daemon can write there, or stop it and run this again")
    return status


def _of_another_configuration(case: Case, status: Status) -> str:
    if status.config_hash == config_hash(case.settings):
        return ""
    return f"; its configuration is not this one (kill -HUP {status.pid} lets it read its file again)"


def _arrived(case: Case, status: Status, report: LastReport) -> bool:
    """Whether it is known that the report arrived; on a topic of one's own nobody says so."""
    unheard = report.verdict == "delivered" and case.settings.agent.topic is not None
    proven = status.proven is not None and status.proven.report_id == report.report_id
    return unheard or proven or report.verdict == "accepted"


def _last_error(case: Case, status: Status) -> str:
    error = status.last_error
    if error is None:
        return "look into the daemon's log"
    times = f", {error.count} times" if error.count > 1 else ""
    return f"its last error, {ago(case.clock() - error.time)}{times}: {error.text}"


def _next(case: Case, status: Status) -> str:
    if status.next_report is None:
        return ""
    return f"; the next is due in {max(status.next_report - case.clock(), 0.0):.0f} s"
