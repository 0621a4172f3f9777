"""What each stack shall hold, and the digest by which a deployed stack is known to hold it already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from infrastructure.names import Names

# Whatever makes templates out of descriptions; a change of it changes them.
SYNTHESIS = ("synthesis.py", "constructs/*.py", "names.py", "description.py")


@dataclass(frozen=True)
class FleetStack:
    """What all things share: the policy and the thing group."""

    names: Names

    @property
    def stack_name(self) -> str:
        return self.names.fleet_stack

    @property
    def digest(self) -> str:
        return _digest(self.stack_name)


@dataclass(frozen=True)
class ThingsStack:
    """Some of the fleet's things, each with its certificate."""

    names: Names
    number: int  # from 1
    requests: Mapping[str, str]  # thing name to certificate signing request (PEM)

    @property
    def stack_name(self) -> str:
        return self.names.things_stack(self.number)

    @property
    def digest(self) -> str:
        return _digest(self.stack_name, dict(self.requests))


@dataclass(frozen=True)
class DetectStack:
    """Custom metrics, security profiles on the fleet's group, and alerts by mail."""

    names: Names
    profiles: tuple[Any, ...]  # infrastructure.profiles.Profile
    metrics: Mapping[str, str]  # those to create: name to number, number-list, string-list or ip-address-list
    alert_email: str | None = None

    @property
    def stack_name(self) -> str:
        return self.names.detect_stack

    @property
    def digest(self) -> str:
        documents = {profile.name: dict(profile.document) for profile in self.profiles}
        return _digest(self.stack_name, documents, dict(self.metrics), self.alert_email)


StackDescription = FleetStack | ThingsStack | DetectStack


def _digest(*content: Any) -> str:
    text = json.dumps([*content, _synthesis_digest()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _synthesis_digest() -> str:
    here = Path(__file__).parent
    sources = sorted(path for pattern in SYNTHESIS for path in here.glob(pattern))
    digest = hashlib.sha256(metadata.version("aws-cdk-lib").encode())
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()
