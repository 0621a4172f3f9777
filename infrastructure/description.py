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
SYNTHESIS = ("synthesis.py", "constructs/*.py", "functions/*.py", "names.py", "description.py")


@dataclass(frozen=True)
class FleetStack:
    """What all things share: the policy and the thing group."""

    names: Names
    cloudwatch: bool = False  # whether the policy lets devices assume the fleet's role for CloudWatch

    @property
    def stack_name(self) -> str:
        return self.names.fleet_stack

    @property
    def digest(self) -> str:
        return _digest(self.stack_name, self.cloudwatch)


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


@dataclass(frozen=True)
class CloudWatchStack:
    """The role with which devices send to CloudWatch, and the role alias that leads to it."""

    names: Names
    namespace: str | None  # of the metrics that may be put; None: none may
    resources: tuple[str, ...]  # of CloudWatch Logs: the ends of ARNs, from log-group: on

    @property
    def stack_name(self) -> str:
        return self.names.cloudwatch_stack

    @property
    def digest(self) -> str:
        return _digest(self.stack_name, self.namespace, self.resources)


@dataclass(frozen=True)
class LogsStack:
    """Some of the log groups that devices send to."""

    names: Names
    number: int  # from 1
    groups: Mapping[str, str]  # name to the thing that it is for, "" for several
    retention: int | None  # days; None is for ever

    @property
    def stack_name(self) -> str:
        return self.names.logs_stack(self.number)

    @property
    def digest(self) -> str:
        return _digest(self.stack_name, dict(self.groups), self.retention)


@dataclass(frozen=True)
class ArtifactsStack:
    """The bucket with the Greengrass component's zips."""

    names: Names
    bucket: str

    @property
    def stack_name(self) -> str:
        return self.names.artifacts_stack

    @property
    def digest(self) -> str:
        return _digest(self.stack_name, self.bucket)


@dataclass(frozen=True)
class GreengrassStack:
    """A version of the Greengrass component, and its deployment to a thing group."""

    names: Names
    component: str
    version: str
    recipe: str
    artifacts: Mapping[str, str]  # keys in the bucket to SHA-256
    configuration: Mapping[str, Any]
    group: str
    own_group: bool  # whether the group is made, and not somebody else's

    @property
    def stack_name(self) -> str:
        return self.names.greengrass_stack

    @property
    def digest(self) -> str:
        content = (self.recipe, dict(self.artifacts), dict(self.configuration), self.group, self.own_group)
        return _digest(self.stack_name, self.component, self.version, *content)


@dataclass(frozen=True)
class ClaimStack:
    """What lets devices provision themselves, and rotate what they got."""

    names: Names
    request: str | None  # of the claim certificate (PEM); None: none is in force, and no device is let in any more
    name_prefixes: tuple[str, ...]  # what devices may put before a serial to make a thing's name

    @property
    def stack_name(self) -> str:
        return self.names.claim_stack

    @property
    def digest(self) -> str:
        return _digest(self.stack_name, self.request, self.name_prefixes)


@dataclass(frozen=True)
class EngineBucketStack:
    """The bucket with the code and the rules of Detect on Apache Flink."""

    names: Names
    bucket: str

    @property
    def stack_name(self) -> str:
        return self.names.engine_bucket_stack

    @property
    def digest(self) -> str:
        return _digest(self.stack_name, self.bucket)


@dataclass(frozen=True)
class EngineStack:
    """What evaluates reports on Apache Flink: rule, stream, application, and where alarms go."""

    names: Names
    bucket: str
    code_key: str  # of the application's zip in the bucket
    jar: str  # in that zip
    mode: str  # "thread" or "process"
    things: int  # that it is sized for
    asked: int  # those that a deployer gave, 0 for those that are listed
    parallelism: int
    interval: float  # seconds between two reports of a thing
    alerts_exist: bool  # whether alarms go to the topic of the security profiles' alerts
    alert_email: str | None = None  # who hears of the engine's own topic otherwise

    @property
    def stack_name(self) -> str:
        return self.names.engine_stack

    @property
    def digest(self) -> str:
        size = (self.mode, self.asked, self.parallelism, self.interval)
        code = (self.bucket, self.code_key, self.jar)
        return _digest(self.stack_name, *code, *size, self.alerts_exist, self.alert_email)


StackDescription = (
    FleetStack
    | ThingsStack
    | DetectStack
    | CloudWatchStack
    | LogsStack
    | ArtifactsStack
    | GreengrassStack
    | ClaimStack
    | EngineBucketStack
    | EngineStack
)


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
