"""Detect on Apache Flink in memory: its bucket, its application, its rule, and the stacks that a deployment leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from infrastructure.application import make_rules
from infrastructure.deployed import Deployed, DeployedStack
from infrastructure.description import EngineBucketStack, EngineStack, StackDescription
from infrastructure.engine import APPLICATION
from infrastructure.fleet import Fleet
from infrastructure.names import TAG, Names
from infrastructure.profiles import Profile
from infrastructure.sources import Wanted
from tests.fakes.fake_account import ID, REGION, FakeIot, make_account, make_screen
from tests.fakes.fake_cloudformation import refuse

NAMES = Names("lab")
BUCKET = NAMES.engine_bucket(ID, REGION)
PORTS = Profile("ports", Path("ports.json"), {"securityProfileName": "ports", "behaviors": []})
RULES = make_rules((PORTS,))
OLD = EngineStack(NAMES, BUCKET, "code/old.zip", "lib/old.jar", "process", 1, 0, 1, 300.0, alerts_exist=False)


class FakeS3:
    """One bucket, two objects on a page; None is no bucket."""

    def __init__(self, *keys: str, exists: bool = True) -> None:
        self.objects: dict[str, Any] | None = dict.fromkeys(keys, b"") if exists else None
        self.error: Exception | None = None  # what a list ends with

    def get_paginator(self, operation: str) -> FakeS3:
        assert "list_objects_v2" == operation
        return self

    def paginate(self, Prefix: str = "", **asked: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        self._check(**asked)
        if self.error is not None:
            raise self.error
        keys = [key for key in sorted(self.objects or {}) if key.startswith(Prefix)]
        for start in range(0, len(keys) or 1, 2):
            yield {"Contents": [{"Key": key} for key in keys[start : start + 2]]} if keys else {}

    def put_object(self, Key: str, Body: bytes, **asked: Any) -> None:  # noqa: N803
        self._check(**asked)
        assert self.objects is not None
        self.objects[Key] = Body

    def delete_object(self, Key: str, **asked: Any) -> None:  # noqa: N803
        self._check(**asked)
        assert self.objects is not None
        del self.objects[Key]

    def delete_objects(self, Delete: dict[str, Any], **asked: Any) -> None:  # noqa: N803
        for each in Delete["Objects"]:
            self.delete_object(each["Key"], **asked)

    def _check(self, Bucket: str, ExpectedBucketOwner: str, **_: Any) -> None:  # noqa: N803
        assert (BUCKET, ID) == (Bucket, ExpectedBucketOwner)
        if self.objects is None:
            raise refuse("NoSuchBucket", "The specified bucket does not exist")


class FakeAnalytics:
    """Managed Service for Apache Flink with one application, whose status is the next of these at each look."""

    def __init__(self, *statuses: str) -> None:
        self.statuses, self.started = list(statuses), list[Any]()

    def describe_application(self, ApplicationName: str) -> dict[str, Any]:  # noqa: N803
        if not self.statuses:
            raise refuse("ResourceNotFoundException", ApplicationName)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {"ApplicationDetail": {"ApplicationStatus": status}}

    def start_application(self, ApplicationName: str, RunConfiguration: Any) -> None:  # noqa: N803
        self.started.append((ApplicationName, RunConfiguration))


class RuleIot(FakeIot):
    """AWS IoT with rules, and whether each is disabled; it says of one that there is not what AWS says."""

    def __init__(self, **rules: bool) -> None:
        super().__init__()
        self.rules = rules

    def get_topic_rule(self, ruleName: str) -> dict[str, Any]:  # noqa: N803
        self._call("get_topic_rule")
        if ruleName not in self.rules:
            raise refuse("UnauthorizedException", f"Access to topic rule '{ruleName}' was denied")
        return {"rule": {"ruleName": ruleName, "ruleDisabled": self.rules[ruleName]}}


def engine_stacks(description: EngineStack = OLD, status: str = "CREATE_COMPLETE") -> Deployed:
    """Return a fleet with both stacks, as a deployment leaves them."""
    noted = {
        "mode": description.mode,
        "asked": description.asked,
        "code": description.code_key,
        "jar": description.jar,
    }
    resources: dict[str, Any] = {"Application": {"Type": APPLICATION, "Metadata": {TAG: noted}}}
    if description.alert_email:
        mail = {"Protocol": "email", "Endpoint": description.alert_email}
        resources["Mail"] = {"Type": "AWS::SNS::Subscription", "Properties": mail}
    stacks = [_stack(EngineBucketStack(NAMES, BUCKET), {}), replace(_stack(description, resources), status=status)]
    return Deployed({each.name: each for each in stacks})


def _stack(description: StackDescription, resources: dict[str, Any]) -> DeployedStack:
    template = {"Metadata": {TAG: {"digest": description.digest}}, "Resources": resources}
    return DeployedStack(description.stack_name, "CREATE_COMPLETE", template=template)


def engine_fleet(
    deployed: Deployed | None = None,
    s3: FakeS3 | None = None,
    analytics: FakeAnalytics | None = None,
    iot: FakeIot | None = None,
) -> tuple[Fleet, Any]:
    """Return a fleet, whose engine runs if there is one, and what is printed."""
    clients = {
        "s3": s3 or FakeS3("code/old.zip", RULES.key_at(0)),
        "kinesisanalyticsv2": analytics or FakeAnalytics("RUNNING"),
    }
    screen, printed = make_screen()
    account = make_account(iot=iot or RuleIot(lab_engine=False), **clients)
    return Fleet(account, NAMES, screen, deployed or Deployed()), printed


def wanted(*things: str, profiles: tuple[Profile, ...] = (PORTS,), **agent: Any) -> Wanted:
    """Return what a deployer's files say."""
    return Wanted(Path("things.txt"), things or ("rpi-1",), {"agent": agent}, profiles, {})
