"""The Flink application's code as `make flink-application` leaves it: one zip, with all that it needs inside."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrastructure.errors import DeployError
from infrastructure.profiles import Profile

ZIP, ENTRY, RULES = "application.zip", "main.py", "rules.json"
BUILD = "build it with `make flink-application JAR=...` (docs/how-to/run-on-flink.md), then run this again"
LARGEST = 512 * 1024**2  # bytes of a zip that Managed Service for Apache Flink takes
DIGITS = 16  # of a digest in a key
_JAR = re.compile(r"lib/[\w.-]+\.jar")
_RULES_KEY = re.compile(rf"rules/(\d+)-([0-9a-f]{{{DIGITS}}})\.json")


@dataclass(frozen=True)
class Application:
    """The code of the job."""

    path: Path
    digest: str  # SHA-256, in hexadecimal digits
    jar: str  # of the connector, in the zip

    @property
    def key(self) -> str:
        """Where it is in the bucket; another content has another key, which is what updates the application."""
        return f"code/{self.digest[:DIGITS]}.zip"

    def with_rules(self, rules: Rules) -> bytes:
        """Return the zip with the rules that a job without any state begins with."""
        content = io.BytesIO(self.path.read_bytes())
        with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr(zipfile.ZipInfo(RULES, (1980, 1, 1, 0, 0, 0)), rules.content)
        return content.getvalue()


@dataclass(frozen=True)
class Rules:
    """Security profiles, and whom they are for, as the job reads them."""

    content: bytes

    @property
    def digest(self) -> str:
        """What tells them from others."""
        return hashlib.sha256(self.content).hexdigest()[:DIGITS]

    def key_at(self, now: float) -> str:
        """Return where they are in the bucket: the job takes whatever comes there, in the order of time."""
        return f"rules/{int(now):012d}-{self.digest}.json"


def read_application(directory: Path) -> Application:
    """Read what was built; raise DeployError where it is missing or cannot be one, with what to run."""
    path = directory / ZIP
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            names = packed.namelist()
    except FileNotFoundError as error:
        raise DeployError(f"there is no {path}: {BUILD}") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise DeployError(f"{path} cannot be read ({error}): {BUILD}") from error
    jars = [name for name in names if _JAR.fullmatch(name)]
    if ENTRY not in names or len(jars) != 1 or RULES in names:
        raise DeployError(f"{path} must have {ENTRY}, one jar in lib/, and no {RULES}: {BUILD}")
    if len(content) > LARGEST:
        raise DeployError(f"{path} must have at most {LARGEST // 1024**2} MB, got {len(content) // 1024**2}: {BUILD}")
    return Application(path, hashlib.sha256(content).hexdigest(), jars[0])


def make_rules(profiles: Sequence[Profile]) -> Rules:
    """Return the rules of security profiles, each for all things, as AWS has them for the fleet's group."""
    document: dict[str, Any] = {
        "attachments": [{"profile": dict(profile.document), "targets": ["all"]} for profile in profiles],
        "groups": {},
    }
    return Rules((json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n").encode())


def newest_rules(keys: Sequence[str]) -> str:
    """Return the digest of the rules that are newest in a bucket, "" without any."""
    found = [match for match in map(_RULES_KEY.fullmatch, sorted(keys)) if match is not None]
    return found[-1][2] if found else ""
