"""What is checked of the claim: how far a device has come that gets its certificate by one. Nothing is asked for."""

from __future__ import annotations

from pathlib import Path

from defender_daemon import lock
from defender_daemon.certificate import AS_OWNER
from defender_daemon.ladder import Doubted, Failed, NotTried
from defender_publisher.credentials import missing_identity
from defender_publisher.doctor.case import Case

CONNECT_WITHIN = 30.0  # seconds for the connection and four subscriptions, each of which has a bound of its own


def has_claim(case: Case) -> bool:
    """Whether the configuration says how this device gets a certificate; until it could be read nobody knows."""
    return hasattr(case, "config") and case.config.agent.provisioning is not None


def check_claim(case: Case) -> str:
    """See what the last run of --provision or --rotate met with, or else that the claim lets this device ask."""
    from defender_publisher.provisioning.claim import identities_of
    from defender_publisher.provisioning.commands import LOCK
    from defender_publisher.provisioning.errors import CONNECT
    from defender_publisher.provisioning.journal import JournalFile

    missing = missing_identity(case.settings.agent, case.path)
    directory = identities_of(case.settings).directory
    if _is_held(directory / LOCK):
        raise NotTried("a run of --provision or --rotate is under way")
    try:
        journal = JournalFile(directory).read()
    except PermissionError as error:
        raise Failed(f"{directory} is another user's", AS_OWNER) from error
    failure = journal.failure if journal is not None else None
    if failure is not None and (missing is None or failure.step != CONNECT):
        kind = Failed if missing is not None else Doubted  # a device with a certificate reports with that one
        raise kind(f"the last run failed: {failure.says}", failure.advice)
    if missing is not None:
        return _connect(case)
    return "not needed any more: this device has a certificate of its own"


def _connect(case: Case) -> str:
    """Connect with the claim and subscribe to the replies; no certificate is used up by that."""
    from defender_publisher.provisioning.broker import Broker
    from defender_publisher.provisioning.claim import claim_problems, connection
    from defender_publisher.provisioning.errors import ProvisioningError

    problems = claim_problems(case.settings.agent.provisioning)
    if problems:
        raise Failed("\n".join(problems), f"correct agent.provisioning in {case.path}")
    try:
        with connection(case.settings, Broker(case.settings))():
            return "it connects, and may ask; nothing was asked for"
    except ProvisioningError as error:
        raise Failed(*error.problem) from error


def _is_held(path: Path) -> bool:
    try:
        return lock.is_held(path)
    except OSError:
        return False
