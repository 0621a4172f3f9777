"""The credentials: the device's certificate, its private key, and the authorities it trusts."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from defender_daemon import certificate as pem
from defender_daemon.config import Agent, Authentication
from defender_daemon.text import quoted
from defender_publisher.errors import Problem
from defender_publisher.transports import method_of


def credential_problems(authentication: Authentication) -> list[str]:
    """Return a sentence for everything that keeps the files from being used (their dates are `validity_problem`)."""
    return [str(each) for each in file_problems(authentication) or content_problems(authentication)]


def missing_identity(agent: Agent, path: Path | None) -> Problem | None:
    """Return what to run where the device has no certificate yet, and a claim by which it gets one; else None."""
    if agent.provisioning is None or agent.provisioning.template is None:
        return None
    files = (agent.authentication.certificate, agent.authentication.private_key)
    if any(each is None or os.path.exists(each) for each in files):
        return None
    command = f"run: sudo amazon-defender-publisher --provision {quoted(str(path))}"
    return Problem("this device has no certificate yet", command)


def file_problems(authentication: Authentication) -> list[Problem]:
    """Return what keeps the files from being read, and a mode of the key that lets others read it."""
    paths = method_of(authentication).files(authentication)
    return [each for key, path in paths.items() if path for each in pem.file_problems(key, path)]


def content_problems(authentication: Authentication) -> list[Problem]:
    """Return what is wrong with the content of readable files: no PEM, a pass phrase, a key of another certificate."""
    return [*_authority_problems(authentication), *method_of(authentication).content_problems(authentication)]


def validity_problem(certificate: str, now: float | None = None) -> str | None:
    """Return a sentence if the certificate is not valid at `now` (seconds since the epoch, default: now)."""
    problem = pem.problem_of_dates(certificate, now)
    return None if problem is None else str(problem)


def _authority_problems(authentication: Authentication) -> Iterator[Problem]:
    if not authentication.root_ca:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(authentication.root_ca)
    except ssl.SSLError:
        says = f"agent.authentication.root_ca must hold certificates in PEM form: {authentication.root_ca}"
        yield Problem(says, "leave it out for AWS, whose root CAs are included")
