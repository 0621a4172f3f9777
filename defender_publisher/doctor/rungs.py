"""The lower rungs: what can be told of a device without the network."""

from __future__ import annotations

import re
from pathlib import Path

from defender_publisher.credentials import (
    AS_OWNER,
    CHECK_CLOCK,
    aws_credentials_source,
    common_name,
    content_problems,
    file_problems,
    problem_of_dates,
    validity,
)
from defender_publisher.dates import date_text, minute_text
from defender_publisher.diagnosis import NO_AWS_CREDENTIALS, problem_in
from defender_publisher.doctor.case import Case
from defender_publisher.doctor.ladder import Failed
from defender_publisher.errors import ConfigError
from defender_publisher.identity import thing_name_of
from defender_publisher.rules import AWS_ENDPOINT
from defender_publisher.settings import read_config, settle

# No clock that is right can show a day before this release was made; a Raspberry Pi without one starts in 1970.
RELEASE_DAY = 1_793_491_200  # seconds since the epoch: 2026-11-01
DAY = 86_400  # seconds
NOT_WITH_WEBSOCKET = "not needed with websocket"
NAMED_BY_AWS = "AWS IoT Certificate"  # the common name of every certificate for whose request AWS made the key
AMAZON_NAME = re.compile(r"\.amazonaws\.com(\.cn)?$")
FIPS_ENDPOINT = re.compile(r"\.iot-fips\.[a-z0-9-]+\.amazonaws\.com$")
ASK_FOR_ENDPOINT = "take the name that this prints: aws iot describe-endpoint --endpoint-type iot:Data-ATS"


def read_configuration(case: Case) -> str:
    """Read the configuration and check it in itself."""
    try:
        case.config, case.origins = read_config(case.path, case.overrides)
    except ConfigError as error:
        where = f"{case.path}: " if case.path else ""
        says = "\n".join(where + each for each in error.problems)
        raise Failed(says, _advice_on(case.path, error)) from error
    where = str(case.path or "the command line alone")
    if case.config.agent.dry_run:
        raise Failed("agent.dry_run is true, so that nothing is ever sent", f"remove it from {where}")
    return where


def _advice_on(path: Path | None, error: ConfigError) -> str:
    if isinstance(error.__cause__, PermissionError):
        return AS_OWNER
    if isinstance(error.__cause__, FileNotFoundError):
        return f"write {path}, or name another file"
    return f"correct {path or 'the command line'}"


def find_thing_name(case: Case) -> str:
    """Find the thing's name, and fill in what depends on it."""
    try:
        name = thing_name_of(case.config.agent)
    except ConfigError as error:
        advice = f"correct agent.instance, or give agent.thing_name, in {case.path or 'the command line'}"
        raise Failed(str(error), advice) from error
    case.settings = settle(case.config, name, case.path, case.origins)
    client_id = case.settings.agent.client_id
    return name if client_id == name else f"{name}, reported for by the client ID {client_id}"


def find_files(case: Case) -> str:
    """See that certificate, key and authorities can be read, and the key by nobody else."""
    problems = file_problems(case.authentication)
    if problems:
        raise Failed("\n".join(each.says for each in problems), problems[0].advice)
    if case.mutual:
        return f"{case.authentication.certificate}, {case.authentication.private_key}"
    source = aws_credentials_source()
    if source is None:
        raise Failed(*problem_in(NO_AWS_CREDENTIALS))
    return f"{NOT_WITH_WEBSOCKET}; AWS credentials are in {source}"


def match_key(case: Case) -> str:
    """See that the files hold what they should, and that the key is the certificate's."""
    problems = content_problems(case.authentication)
    if problems:
        raise Failed(*problems[0])
    return "the key is the certificate's" if case.mutual else NOT_WITH_WEBSOCKET


def check_dates(case: Case) -> str:
    """See that the certificate is valid now, and for how long."""
    if not case.mutual:
        return NOT_WITH_WEBSOCKET
    certificate, now = str(case.authentication.certificate), case.clock()
    problem = problem_of_dates(certificate, now)
    if problem is not None:
        raise Failed(*problem)
    dates = validity(certificate)
    return "this Python cannot tell" if dates is None else remaining(dates[1], now)


def remaining(end: float, now: float) -> str:
    """Say how long something is valid that ends at `end`."""
    days = int((end - now) // DAY)
    left = f"{days} days" if days > 1 else f"{(end - now) / 3600:.0f} hours"
    return f"for {left} more, until {minute_text(end)}"


def check_owner(case: Case) -> str:
    """See whose name is on the certificate; fleets name theirs as they like, so that no name is wrong."""
    if not case.mutual:
        return NOT_WITH_WEBSOCKET
    name, agent = common_name(str(case.authentication.certificate)), case.settings.agent
    if name == case.settings.thing_name:
        return "the certificate has the thing's name"
    if name == agent.client_id:
        return f"the certificate has the client ID's name, {name}"
    if name in (None, NAMED_BY_AWS):
        return "cannot be told: the certificate names no thing"
    return f"cannot be told: the certificate's name is {name!r}, the thing's is {case.settings.thing_name!r}"


def check_clock(case: Case) -> str:
    """See that the clock shows no time in which this cannot be; the network is not asked."""
    now = case.clock()
    shown = date_text(now)
    if now < RELEASE_DAY:
        raise Failed(f"this device's clock says {shown}, which is before this program was made", CHECK_CLOCK)
    return shown


def check_endpoint(case: Case) -> str:
    """See that the endpoint's name is one that takes MQTT: at AWS the account's data endpoint."""
    host = str(case.authentication.endpoint)
    if not AMAZON_NAME.search(host):
        return f"{host}, a broker of your own"
    if FIPS_ENDPOINT.search(host) or (AWS_ENDPOINT.search(host) and host.split(".")[0].endswith("-ats")):
        return host
    raise Failed(f"{host} is not the -ats data endpoint, whose certificate Amazon's roots vouch for", ASK_FOR_ENDPOINT)
