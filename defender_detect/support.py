"""Detect's support bundle: what others need to help, without a key, a password or the arguments of commands."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from defender_daemon import evidence, files
from defender_daemon.errors import DefenderError
from defender_daemon.evidence import end_of_log, journal_of, make_files
from defender_daemon.ladder import Step, as_object
from defender_daemon.redaction import REMOVED, config_without_secrets, key_lines, secrets_of
from defender_daemon.surroundings import surroundings
from defender_detect import __version__, doctor, health
from defender_detect.alerts.posting import origin_of
from defender_detect.arguments import PROGRAM
from defender_detect.config import Config
from defender_detect.doctor import Case
from defender_detect.several import each_of
from defender_detect.status import STATUS_FILE
from device_defender.validation import Invalid, read_json

PACKAGES = ("amqtt", "cbor2", "cryptography", "msgspec", "paho-mqtt", "rich", "boto3")
SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
MOST_SILENT = 1_000  # things that are named
PRIVATE = ("recipients", "topic")  # of alerts: whose address it is; a topic of ntfy's is known to who may read it
WITHOUT_LOG = (
    f"the journal has nothing of {PROGRAM} for this user: the log is on the standard error of whoever started it"
)


class Findings(NamedTuple):
    """Of what the evidence is made: the configuration as it could be read, the doctor's case and ladder."""

    raw: Any
    case: Case
    steps: list[Step]


def write(bundle: Path, case: Case) -> Iterator[str]:
    """Write the bundle, replacing one of this name, and yield lines that tell what is in it; raises BundleError."""
    return evidence.write(bundle, PROGRAM, lambda: collect(case))


def collect(case: Case) -> dict[str, bytes]:
    """Climb the ladder and return the bundle's files by name; where one cannot be had it says why."""
    steps = list(doctor.examine(case))
    findings = Findings(_raw_config(case), case, steps)
    return make_files(FILES, findings, _known_secrets(findings))


def _raw_config(case: Case) -> Any:
    """Return the configuration with its defaults, or else as it is written; the text of what is no JSON is left out."""
    if hasattr(case, "config"):
        return msgspec.to_builtins(case.config)
    try:
        return read_json(case.path) if case.path else {}
    except Invalid as error:
        return {"unreadable": str(error)}


def _config(findings: Findings) -> Any:
    config = config_without_secrets(findings.raw)
    for alert in _alerts(config):
        if isinstance(alert.get("headers"), dict):
            alert["headers"] = dict.fromkeys(alert["headers"], REMOVED)
        if isinstance(alert.get("url"), str):  # whose path is often the secret
            alert["url"] = f"{_origin(alert['url'])}/{REMOVED}"
        for key in PRIVATE:
            if key in alert and not (key == "topic" and alert.get("type") != "ntfy"):
                alert[key] = REMOVED
    return config


def _alerts(raw: Any) -> list[dict[str, Any]]:
    detect = raw.get("detect") if isinstance(raw, dict) else None
    alerts = detect.get("alerts") if isinstance(detect, dict) else None
    return [each for each in alerts if isinstance(each, dict)] if isinstance(alerts, list) else []


def _secrets_of_alerts(raw: Any) -> Iterator[str]:
    for alert in _alerts(raw):
        headers, url = alert.get("headers"), alert.get("url")
        yield from (str(value) for value in headers.values()) if isinstance(headers, dict) else ()
        if alert.get("type") == "ntfy" and isinstance(alert.get("topic"), str):
            yield alert["topic"]
        if isinstance(url, str) and len(url) > len(_origin(url)) + 1:
            yield url


def _origin(url: str) -> str:
    try:
        return origin_of(url)
    except ValueError:  # it is none, and refused as such
        return ""


def _profiles(findings: Findings) -> Any:
    return [dict(each.profile.document) for each in findings.case.rules.attachments]


def _status(findings: Findings) -> Any:
    return _of_each(findings, lambda config: json.loads(files.read(_directory(config) / STATUS_FILE)))


def _health(findings: Findings) -> Any:
    def examine(config: Config) -> Any:
        found = health.examine(config)
        return msgspec.to_builtins(msgspec.structs.replace(found, silent=found.silent[:MOST_SILENT]))

    return _of_each(findings, examine)


def _directory(config: Config) -> Path:
    return Path(str(config.agent.state_directory))


def _of_each(findings: Findings, tell: Callable[[Config], Any]) -> Any:
    """Return what there is to tell of the Detect, or of each of several, by its name, with why that cannot be had."""
    detects = each_of(findings.case.path, findings.case.options)
    if len(detects) == 1:
        return tell(detects[0].config)
    told: dict[str, Any] = {}
    for each in detects:
        try:
            told[each.name] = tell(each.config)
        except (OSError, DefenderError, ValueError) as error:
            told[each.name] = f"it cannot be had: {error}"
    return told


FILES: Mapping[str, Callable[[Findings], Any]] = {
    "version.txt": lambda findings: f"{PROGRAM} {__version__}\n",
    "platform.txt": lambda findings: "\n".join(surroundings(PACKAGES)) + "\n",
    "config.json": _config,
    "profiles.json": _profiles,
    "doctor.txt": lambda findings: "\n".join(map(str, findings.steps)) + "\n",
    "doctor.json": lambda findings: as_object(findings.steps),
    "status.json": _status,
    "health.json": _health,
    "log.txt": lambda findings: end_of_log(journal_of(PROGRAM) or WITHOUT_LOG),
}


def _known_secrets(findings: Findings) -> list[str]:
    """Return what is known to be secret: in the configuration, in the environment, and in the key's file."""
    secrets = [*secrets_of(findings.raw), *filter(None, _secrets_of_alerts(findings.raw))]
    secrets += [os.environ[name] for name in SECRET_VARIABLES if os.environ.get(name)]
    if not hasattr(findings.case, "config"):
        return secrets
    try:
        path = Path(str(findings.case.config.agent.authentication.private_key))
        return secrets + key_lines(files.read(path).decode("utf-8", "replace"))
    except OSError:
        return secrets
