"""The doctor: what keeps metrics and logs from CloudWatch, found check by check, and the one thing to do about it.

Its log event goes into a stream of its own, and its metrics are this machine's; a daemon that runs is not disturbed.
"""

from __future__ import annotations

import email.utils
import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from defender_cloudwatch.batch import LogEvent
from defender_cloudwatch.call import LOGS, Api
from defender_cloudwatch.config import Settings
from defender_cloudwatch.connection import request
from defender_cloudwatch.credentials import Keeper
from defender_cloudwatch.delivery import Delivery
from defender_cloudwatch.errors import CallFailed, CloudWatchError, CredentialsError
from defender_cloudwatch.health import device_files
from defender_cloudwatch.places import Places
from defender_cloudwatch.service import Service
from defender_cloudwatch.sources import JournalSource, SourceError, Target, readable
from defender_daemon import ladder, rungs
from defender_daemon.certificate import CHECK_CLOCK, pair_problems
from defender_daemon.dates import date_text
from defender_daemon.errors import ConfigError
from defender_daemon.ladder import Doubted, Failed, Rung, Step

T = TypeVar("T")

STREAM = "amazon-defender-cloudwatch-doctor"
MESSAGE = "amazon-defender-cloudwatch doctor: this device can write here"
LONGEST_SKEW = 300.0  # seconds; AWS refuses signatures that are more wrong
WORTH_SAYING = 2.0  # seconds; the answer itself takes one
FIRST_RATES = 1.0  # seconds over which a single look measures rates
CALLS_WITHIN = 40.0  # seconds for a few calls, each with time-outs of its own
JOIN_GROUPS = "let the user that the service runs as read it: groups adm and systemd-journal, or setfacl"
CHECK_NETWORK = "check this device's network, its DNS server and agent.proxy"
TRY_AGAIN = "try again; if it goes on, look the code up in AWS's documentation"
MOST_SHOWN = 10  # logs that cannot be read
CHECK_POLICY = "change the role's policy, as docs/how-to/cloudwatch.md has it"


class Case:
    """A device to examine; `settings` are there once the configuration was read."""

    settings: Settings

    def __init__(self, path: Path, read: Callable[[], Settings], clock: Callable[[], float] = time.time) -> None:
        self.path, self.read, self.clock = path, read, clock

    @property
    def unneeded(self) -> Mapping[str, str]:
        """The checks that this configuration does without."""
        if not hasattr(self, "settings"):
            return {}
        settings = self.settings
        found = {} if self.has_device else dict.fromkeys(OF_DEVICE, "the certificate is not used for credentials")
        if not settings.files and settings.journal is None:
            found.update(dict.fromkeys(OF_LOGS, "no logs are configured"))
        return found if settings.namespace is not None else {**found, "metrics": "no metrics.namespace is configured"}

    @property
    def has_device(self) -> bool:
        """Whether AWS IoT gives the credentials, for the device's certificate."""
        return self.settings.agent.authentication.credentials is not None

    @cached_property
    def api(self) -> Api:
        """What calls AWS."""
        settings = self.settings
        return Api(settings.region, Keeper(settings.source), settings.way, settings.endpoint)

    @property
    def targets(self) -> list[Target]:
        """The stream of each log group to write into: the doctor's own, or a log's where the group is of all things.

        There a policy can confine a thing to nothing but its streams.
        """
        settings = self.settings
        logs: list[tuple[str, str | None]] = [(each.group, each.stream) for each in settings.files]
        if settings.journal is not None:
            logs.append((settings.journal.group, settings.journal.stream))
        found: dict[str, str] = {}
        for group, stream in logs:
            is_own = settings.thing_name.replace(":", "-") in group
            found.setdefault(group, STREAM if is_own or stream is None else stream)
        return [Target(group, stream) for group, stream in found.items()]


def read_configuration(case: Case) -> str:
    """Read the configuration and check it in itself."""
    try:
        case.settings = case.read()
    except ConfigError as error:
        raise Failed("\n".join(error.problems), f"correct {case.path}") from error
    return f"{case.path}, for {case.settings.thing_name} in {case.settings.region}"


def find_files(case: Case) -> str:
    """See that certificate and key can be read, and the key by nobody else."""
    problems = list(device_files(case.settings))
    if problems:
        raise Failed("\n".join(each.says for each in problems), problems[0].advice)
    authentication = case.settings.agent.authentication
    return f"{authentication.certificate}, {authentication.private_key}"


def match_key(case: Case) -> str:
    """See that the files hold what they should, and that the key is the certificate's."""
    authentication = case.settings.agent.authentication
    for problem in pair_problems(str(authentication.certificate), str(authentication.private_key)):
        raise Failed(*problem)
    return "the key is the certificate's"


def keep_places(case: Case) -> str:
    """See that places can be kept, without which no log is sent."""
    try:
        return rungs.state_directory(str(case.settings.state_directory))
    except Doubted as error:
        raise Failed(*error.problem) from error


def reach_aws(case: Case) -> str:
    """See that AWS answers, and that its clock and this device's agree, without which it takes no signature."""
    url = case.api.url(LOGS)
    host = urlsplit(url).netloc
    try:
        answer = request("GET", f"{url}/", {"host": host}, way=case.settings.way)
    except (OSError, http.client.HTTPException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise Failed(f"{host} cannot be reached: {reason}", CHECK_NETWORK) from error
    skew = _skew(answer.date, case.clock())
    if skew is None:
        return host
    wrong = f"this device's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} AWS's"
    if abs(skew) > LONGEST_SKEW:
        raise Failed(f"{wrong}; AWS refuses what is signed more than {LONGEST_SKEW:.0f} s off", CHECK_CLOCK)
    return f"{host}; " + (wrong if abs(skew) > WORTH_SAYING else "its clock and this device's agree")


def _skew(date: str, now: float) -> float | None:
    """Return how many seconds a clock is ahead of the date that a server gave, None where it gave none."""
    try:
        return now - email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def get_credentials(case: Case) -> str:
    """Get AWS credentials from where the configuration says."""
    try:
        found = case.settings.source()
    except CredentialsError as error:
        raise Failed(*error.problem) from error
    given = case.settings.agent.authentication.credentials
    where = f"by the role alias {given.role_alias}" if given else "from the environment"
    return where + (f", valid until {date_text(found.expires)}" if found.expires is not None else "")


def find_group(case: Case) -> str:
    """See that every log group is there, or can be made, and a stream in it."""
    delivery = Delivery(case.api, Places(None), case.settings.retention)
    for target in case.targets:
        _try(partial(delivery.create, target))
    return ", ".join(each.group for each in case.targets)


def write_events(case: Case) -> str:
    """Write a log event into each group and read it, as the daemon does."""
    for target in case.targets:
        _write_and_read(case, {"logGroupName": target.group, "logStreamName": target.stream})
    return "written to and read from " + ", ".join(each.stream for each in case.targets)


def _write_and_read(case: Case, where: dict[str, Any]) -> None:
    events = {"logEvents": [LogEvent(int(case.clock() * 1000), MESSAGE)]}
    answer = _try(partial(case.api.call, LOGS, "PutLogEvents", {**where, **events}))
    if answer.get("rejectedLogEventsInfo"):
        raise Failed("CloudWatch Logs refused a log event because of its time", CHECK_CLOCK)
    _try(partial(case.api.call, LOGS, "GetLogEvents", {**where, "limit": 1}))


def put_metrics(case: Case) -> str:
    """Send this machine's metrics, as the daemon does."""
    service = Service(case.settings, keep=False)
    time.sleep(FIRST_RATES)
    count = _try(service.put_metrics)
    return f"{count} values in {case.settings.namespace}"


def read_logs(case: Case) -> str:
    """See that every log can be read; a file that is not there yet may come."""
    found = [readable(entry.pattern) for entry in case.settings.files]
    problems = [each for _, bad in found for each in bad]
    journal = case.settings.journal
    if journal is not None:
        try:
            JournalSource(journal, None).read()
        except SourceError as error:
            problems.append(str(error))
    if problems:
        raise Failed("\n".join(problems[:MOST_SHOWN]), JOIN_GROUPS)
    return f"{sum(len(good) for good, _ in found)} files" + (", and the journal" if journal else "")


def _try(call: Callable[[], T]) -> T:
    try:
        return call()
    except CallFailed as error:
        raise Failed(error.problem.says, CHECK_POLICY if "AccessDenied" in error.code else TRY_AGAIN) from error
    except CloudWatchError as error:
        raise Failed(*error.problem) from error


OF_DEVICE = ("key and certificate", "belong together", "valid today")
OF_LOGS = ("logs", "log group", "log events")
RUNGS = (
    Rung("config", read_configuration, longest=31.0),  # agent.instance.command has 30
    Rung("key and certificate", find_files),
    Rung("belong together", match_key),
    Rung("valid today", lambda case: rungs.dates(str(case.settings.agent.authentication.certificate), case.clock())),
    Rung("clock", lambda case: rungs.clock(case.clock())),
    Rung("state directory", keep_places),
    Rung("AWS", reach_aws, CHECK_NETWORK, CALLS_WITHIN),
    Rung("credentials", get_credentials, CHECK_NETWORK, CALLS_WITHIN),
    Rung("log group", find_group, CHECK_NETWORK, CALLS_WITHIN),
    Rung("log events", write_events, CHECK_NETWORK, CALLS_WITHIN),
    Rung("metrics", put_metrics, CHECK_NETWORK, CALLS_WITHIN),
    Rung("logs", read_logs, longest=31.0),  # journalctl has 30
)


def examine(case: Case) -> Iterator[Step]:
    """Try each check in order and yield what was found, up to the first that fails."""
    return ladder.climb(RUNGS, case)
