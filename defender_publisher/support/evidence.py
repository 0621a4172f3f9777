"""The evidence: what a support bundle holds, each file by one function, secrets removed from all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from defender_daemon import files
from defender_daemon.config_file import DEFAULT_STATE_DIRECTORY, read_json
from defender_daemon.evidence import end_of, end_of_log, journal_of, make_files
from defender_daemon.ladder import Step, as_object
from defender_daemon.redaction import config_without_secrets, key_lines, secrets_of
from defender_daemon.surroundings import surroundings
from defender_publisher import __version__
from defender_publisher.doctor import examination
from defender_publisher.doctor.case import Case
from defender_publisher.errors import ConfigError
from defender_publisher.state import STATE_FILE
from defender_publisher.status import STATUS_FILE

SERVICE = "amazon-defender-publisher"
PACKAGES = ("AWSIoTPythonSDK", "cbor2", "msgspec", "psutil", "timeloop")
SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
WITHOUT_LOG = (
    f"agent.logfile is not set, and the journal has nothing of {SERVICE} for this user: the log is on the standard "
    "error of whoever started the program"
)


class Findings(NamedTuple):
    """Of what the evidence is made: the configuration as it could be read, the doctor's case and ladder."""

    raw: Any
    case: Case
    steps: list[Step]


def collect(case: Case) -> dict[str, bytes]:
    """Climb the ladder and return the bundle's files by name; where one cannot be had it says why."""
    steps = list(examination.examine(case))
    findings = Findings(_raw_config(case), case, steps)
    known = _known_secrets(findings)
    return make_files(FILES, findings, known)


def _version(findings: Findings) -> str:
    return f"{SERVICE} {__version__}\n"


def _config(findings: Findings) -> Any:
    return config_without_secrets(findings.raw)


def _status(findings: Findings) -> Any:
    return json.loads(files.read(_state_directory(findings) / STATUS_FILE))


def _state(findings: Findings) -> Any:
    return json.loads(files.read(_state_directory(findings) / STATE_FILE))


def _log(findings: Findings) -> str:
    logfile = _in(findings.raw, "agent", "logfile")
    return end_of_log(end_of(Path(logfile)) if isinstance(logfile, str) else journal_of(SERVICE) or WITHOUT_LOG)


def _findings_as_json(findings: Findings) -> Any:
    return as_object(findings.steps)


def _findings_as_text(findings: Findings) -> str:
    return "\n".join(str(step) for step in findings.steps) + "\n"


def _platform(findings: Findings) -> str:
    return "\n".join(surroundings(PACKAGES)) + "\n"


FILES: Mapping[str, Callable[[Findings], Any]] = {
    "version.txt": _version,
    "platform.txt": _platform,
    "config.json": _config,
    "doctor.txt": _findings_as_text,
    "doctor.json": _findings_as_json,
    "status.json": _status,
    "state.json": _state,
    "log.txt": _log,
}


def _raw_config(case: Case) -> Any:
    """Return the configuration with its defaults, or else as it is written; the text of what is no JSON is left out."""
    if hasattr(case, "settings"):
        return msgspec.to_builtins(case.settings.config)
    if hasattr(case, "config"):
        return msgspec.to_builtins(case.config)
    try:
        return read_json(case.path) if case.path else case.overrides
    except ConfigError as error:
        return {"unreadable": str(error)}


def _state_directory(findings: Findings) -> Path:
    given = _in(findings.raw, "agent", "state_directory")
    return Path(given if isinstance(given, str) else os.environ.get("STATE_DIRECTORY") or DEFAULT_STATE_DIRECTORY)


def _known_secrets(findings: Findings) -> list[str]:
    """Return what is known to be secret: in the configuration, in the environment, and in the key's file."""
    secrets = secrets_of(findings.raw) + secrets_of(findings.case.overrides)
    secrets += [os.environ[name] for name in SECRET_VARIABLES if os.environ.get(name)]
    keys = (("authentication", "private_key"), ("provisioning", "claim_private_key"))
    return secrets + [line for each in keys for line in _lines_of_key(_in(findings.raw, "agent", *each))]


def _lines_of_key(path: Any) -> list[str]:
    try:
        return key_lines(files.read(Path(os.path.realpath(str(path)))).decode("utf-8", "replace"))
    except (OSError, ValueError):  # ValueError: a path with a null byte in it
        return []


def _in(raw: Any, *keys: str) -> Any:
    for key in keys:
        raw = raw.get(key) if isinstance(raw, dict) else None
    return raw
