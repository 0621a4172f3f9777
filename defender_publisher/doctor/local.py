"""What is checked on the device alone, without the network: its configuration, files, clock and state directory."""

from __future__ import annotations

from pathlib import Path

from defender_daemon import rungs
from defender_daemon.certificate import AS_OWNER, common_name
from defender_daemon.identity import thing_name_of
from defender_daemon.ladder import Doubted, Failed
from defender_publisher.credentials import content_problems, file_problems, missing_identity
from defender_publisher.doctor.case import Case
from defender_publisher.endpoint import is_aws, is_data_endpoint
from defender_publisher.errors import ConfigError, DefenderError
from defender_publisher.settings import read_as_written, settle

NAMED_BY_AWS = "AWS IoT Certificate"  # the common name of every certificate for whose request AWS made the key
ASK_FOR_ENDPOINT = "use the name that this prints: aws iot describe-endpoint --endpoint-type iot:Data-ATS"


def read_configuration(case: Case) -> str:
    """Read the configuration and check it in itself."""
    try:
        case.config, case.origins = read_as_written(case.path, case.overrides)
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
    missing = missing_identity(case.settings.agent, case.path)
    if missing is not None:
        raise Failed(*missing)
    problems = file_problems(case.authentication)
    if problems:
        raise Failed("\n".join(each.says for each in problems), problems[0].advice)
    try:
        return case.method.find_credentials(case.authentication)
    except DefenderError as error:
        raise Failed(*error.problem) from error


def match_key(case: Case) -> str:
    """See that the files hold what they should, and that the key is the certificate's."""
    problems = content_problems(case.authentication)
    if problems:
        raise Failed(*problems[0])
    return "the key is the certificate's"


def check_dates(case: Case) -> str:
    """See that the certificate is valid now, and for how long."""
    return rungs.dates(case.link.certificate, case.clock())


def check_owner(case: Case) -> str:
    """See whose name is on the certificate; fleets name theirs as they like, so that no name is wrong."""
    name, thing = common_name(case.link.certificate), case.settings.thing_name
    if name == thing:
        return "the certificate has the thing's name"
    if name == case.link.client_id:
        return f"the certificate has the client ID's name, {name}"
    if not is_aws(case.link.host):
        return f"unknown (the certificate's name is {name!r}, the thing's is {thing!r}; many brokers use the first)"
    if name in (None, NAMED_BY_AWS):
        return "unknown (the certificate names no thing)"
    return f"unknown (the certificate's name is {name!r}, the thing's is {thing!r})"


def check_clock(case: Case) -> str:
    """See that the clock shows no time in which this cannot be; the network is not asked."""
    return rungs.clock(case.clock())


def check_endpoint(case: Case) -> str:
    """See that the endpoint's name is one that takes MQTT: at AWS the account's data endpoint."""
    host = case.link.host
    if not is_aws(host):
        return f"{host}, a broker of your own"
    if is_data_endpoint(host):
        return host
    raise Doubted(
        f"{host} is not the -ats data endpoint, whose certificate Amazon's root CAs have signed", ASK_FOR_ENDPOINT
    )


def check_state_directory(case: Case) -> str:
    """See that the daemon can keep what must outlive a restart; it reports also where it cannot."""
    return rungs.state_directory(str(case.settings.agent.state_directory))
