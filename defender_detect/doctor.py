"""Detect's doctor: what keeps reports from being answered and alarms from being heard, and what to do about it.

It asks the running Detect by what that has written, and connects to the broker as Detect does, as far as TLS.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from defender_daemon import files, ladder, rungs
from defender_daemon.certificate import file_problems, pair_problems
from defender_daemon.dates import moment
from defender_daemon.errors import DefenderError
from defender_daemon.health import NOT_RUNNING, span
from defender_daemon.ladder import Doubted, Failed, NotTried, Rung, Step
from defender_detect import health
from defender_detect.attachments import read_rules
from defender_detect.checking import check_endpoint, check_files_and_targets, find_credentials
from defender_detect.config import Config, read_config
from defender_detect.errors import AuthorityError, DetectError
from defender_detect.evaluate.detector import Rules
from defender_detect.receive.endpoint import Endpoint
from defender_detect.reminder import ends_soon, own_certificates
from defender_detect.renewing import check_renewal
from defender_detect.several import One, each_of

CONNECT_WITHIN = 10.0  # seconds
START = "start it: sudo systemctl start amazon-defender-detect, or amazon-defender-detect CONFIG by hand"
LOOK_INTO_LOG = "look into its log: journalctl -u amazon-defender-detect"
LEAST_FREE = 100_000_000  # bytes; a day of a thousand things


class Case:
    """A Detect to examine, and what was found; an attribute without a value here is set by the rung of its name."""

    config: Config
    rules: Rules
    health: health.Health
    unneeded: Mapping[str, str] = {}

    def __init__(self, path: Path | None, options: Mapping[str, Any], clock: Callable[[], float] = time.time) -> None:
        self.path, self.options, self.clock = path, options, clock

    @property
    def endpoint(self) -> Endpoint:
        """Where the broker is."""
        status = self.health.status
        if status is not None and status.connection.built_in:  # whose port may be any free one
            return Endpoint(status.connection.host, status.connection.port).reachable
        authentication = self.config.agent.authentication
        return Endpoint(authentication.endpoint or "127.0.0.1", authentication.port)

    @property
    def authority(self) -> Path:
        """The directory that `init` made, if the configuration lies in one."""
        return (self.path or Path()).absolute().parent


def read_configuration(case: Case) -> str:
    """Read the configuration, and see that it says enough to serve."""
    with failing():
        case.config = read_config(case.path, case.options)
        check_endpoint(case.config)
        check_renewal(case.config)
    return str(case.path or "the command line")


def read_profiles(case: Case) -> str:
    """Read profiles and thing groups; without a behavior nothing is ever alarming."""
    with failing():
        case.rules = read_rules(case.config)
    profiles = [each.profile for each in case.rules.attachments]
    behaviors = sum(len(each.behaviors) for each in profiles)
    says = f"{len(profiles)} with {health.counted(behaviors, 'behavior')}"
    if not profiles:
        raise Doubted(f"{says}: reports are answered, and nothing is evaluated or kept", "name some in detect.profiles")
    return says if behaviors else f"{says}: values are kept, and nothing raises an alarm yet"


def check_files(case: Case) -> str:
    """See that certificate, key and authorities are there and belong together."""
    authentication = case.config.agent.authentication
    certificate, key = str(authentication.certificate), str(authentication.private_key)  # `check_endpoint` saw them
    files = {"certificate": certificate, "private_key": key, "root_ca": str(authentication.root_ca)}
    found = [each for name, path in files.items() for each in file_problems(name, path)]
    for problem in found or pair_problems(certificate, key):
        raise Failed(*problem)
    return certificate


def check_dates(case: Case) -> str:
    """See that Detect's certificate and its authority's are valid now, and in eight weeks."""
    now = case.clock()
    paths = own_certificates(case.config)
    lines = [rungs.dates(str(path), now) for path in paths]
    for path in paths:
        if sentence := ends_soon(path, now):
            raise Doubted(*sentence.split("; ", 1))
    return f"Detect's {lines[0]}\nthe authority's {lines[1]}"


def check_things(case: Case) -> str:
    """See that no thing's certificate ends soon, where the authority is here and may be looked into."""
    from defender_detect.authority.directory import Directory
    from defender_detect.authority.expiry import read_waiting, soon, thing_endings
    from defender_detect.authority.record import read_record
    from defender_detect.authority.renewals import read_renewals
    from defender_detect.renewing import state_of

    directory = Directory(case.authority)
    try:
        record, renewals = read_record(directory.record), read_renewals(state_of(case.config))
        waiting = read_waiting(directory, record, renewals)
    except AuthorityError as error:
        raise NotTried(f"not known here: {error}") from error
    endings = list(thing_endings(directory, record, renewals))
    ending = soon(endings, moment(case.clock()))
    if ending or waiting:
        raise Doubted("\n".join([*ending, *waiting]), "amazon-defender-detect list has all of them")
    return f"{health.counted(len(endings), 'thing')} with one, and none ends soon"


def check_clock(case: Case) -> str:
    """See that the clock shows no time in which this cannot be."""
    return rungs.clock(case.clock())


def check_disk(case: Case) -> str:
    """See that what is found can be kept."""
    directory = case.config.agent.state_directory
    if directory is None:
        raise Doubted("nothing is kept, and a restart forgets all alarms", "set agent.state_directory")
    says = rungs.state_directory(directory)
    free = shutil.disk_usage(files.existing(Path(directory))).free
    if free < LEAST_FREE:
        raise Doubted(f"{directory} has {health.megabytes(free)} left", f"make room: df -h {directory}")
    return f"{says}, {health.megabytes(free)} free"


def check_alerts(case: Case) -> str:
    """See that alerts can be delivered, as far as their settings tell."""
    with failing():
        unchecked = list(check_files_and_targets(case.config))
    targets = len(case.config.detect.alerts)
    says = f"the log and {targets} other{'s'[: targets != 1]}" if targets else "the log alone"
    return "; ".join([says, *unchecked])


def ask_running(case: Case) -> str:
    """Ask the running Detect by its status."""
    with failing():
        case.health = health.examine(case.config, case.clock())
    status = case.health.status
    if case.health.health == NOT_RUNNING:
        raise Failed("Detect is not running", START)
    if status is None:
        raise Failed(f"Detect runs, and has written no status into {case.health.state_directory}", LOOK_INTO_LOG)
    says = f"process {status.pid}, for {span(case.clock() - status.since)}"
    changed = f"; its configuration has changed since, or options override it (kill -HUP {status.pid}, or restart it)"
    return says + (changed if case.health.config_changed else "")


def greet_broker(case: Case) -> str:
    """Connect to the broker and speak TLS, each side showing its certificate."""
    place, credentials = case.endpoint, find_credentials(case.config)
    try:
        line = socket.create_connection((place.host, place.port), CONNECT_WITHIN)
        with line, credentials.client_context().wrap_socket(line, server_hostname=place.host) as secure:
            return f"{place} answers, {secure.version()}"
    except ssl.SSLCertVerificationError as error:
        says = f"{place}: its certificate is not trusted: {error.verify_message}"
        raise Failed(says, "issue it for this name: amazon-defender-detect init DIR --listen NAME ...") from error
    except OSError as error:
        advice = LOOK_INTO_LOG if case.config.agent.embedded_broker else "see that the broker runs, and its log"
        raise Failed(f"{place}: {error.strerror or error}", advice) from error


def ask_connection(case: Case) -> str:
    """Ask the running Detect whether it hears its broker."""
    status = case.health.status
    assert status is not None
    since = span(case.clock() - status.connection.since)
    if not status.connection.connected:
        last = status.last_error
        raise Failed(f"Detect has not heard its broker for {since}", last.text if last else LOOK_INTO_LOG)
    return f"Detect hears reports, for {since}"


def ask_waiting(case: Case) -> str:
    """Ask the running Detect whether alerts wait for somebody who does not take them."""
    waiting = case.health.status.waiting if case.health.status is not None else {}
    if waiting:
        says = ", ".join(f"{number} for {name}" for name, number in waiting.items())
        raise Doubted(f"waiting: {says}", LOOK_INTO_LOG)
    return "none waits"


def ask_reports(case: Case) -> str:
    """Say when which thing reported last, and which are silent."""
    found, now = case.health, case.clock()
    if found.last_report is None:
        raise NotTried("no thing has reported yet")
    says = f"the last one of {found.last_report.thing}, {span(now - found.last_report.time)} ago"
    if found.silent:
        silent = f"silent {len(found.silent)} of {found.things}: {health.named(found.silent)}"
        raise Doubted(f"{says}; {silent}", "on the device: amazon-defender-publisher doctor")
    return f"{says}; {health.counted(found.things, 'thing')} reported within two days"


COMMON = (  # to several Detects of one configuration
    Rung("config", read_configuration),
    Rung("profiles", read_profiles),
    Rung("key and certificate", check_files),
    Rung("valid today", check_dates),
    Rung("things' certificates", check_things),
    Rung("clock", check_clock),
)
OWN = (
    Rung("disk", check_disk),
    Rung("alert targets", check_alerts),
    Rung("running", ask_running),
    Rung("broker", greet_broker),
    Rung("connection", ask_connection),
    Rung("alerts", ask_waiting),
    Rung("reports", ask_reports),
)
RUNGS = (*COMMON, *OWN)


def examine(case: Case) -> Iterator[Step]:
    """Climb the ladder and yield each step as it is known; of several Detects first what they have in common."""
    detects = _detects_of(case)
    if len(detects) < 2:
        yield from ladder.climb(RUNGS, case)
        return
    failed = False
    for step in ladder.climb(COMMON, case):
        failed = failed or step.verdict == ladder.FAIL
        yield step
    for detect in () if failed else detects:
        yield from _examine_one(case, detect)


def _detects_of(case: Case) -> list[One]:
    try:
        return each_of(case.path, case.options)
    except DetectError:  # which the first rung says
        return []


def _examine_one(case: Case, detect: One) -> Iterator[Step]:
    """Yield what is one of several Detects' own; what is wrong with one keeps nothing from being known of the next."""
    own = Case(case.path, detect.options, case.clock)
    own.config, own.rules = detect.config, case.rules
    for step in ladder.climb(OWN, own):
        yield msgspec.structs.replace(step, says=f"{detect.name}: {step.says}" if step.says else detect.name)


@contextlib.contextmanager
def failing() -> Iterator[None]:
    """Let this package's own errors be a rung that does not hold; what to do stands in their sentences."""
    try:
        yield
    except DetectError as error:
        raise Failed(str(error)) from error
    except DefenderError as error:
        raise Failed(*error.problem) from error
