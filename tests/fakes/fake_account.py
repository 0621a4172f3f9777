"""An account whose AWS IoT and CloudFormation are in memory, and the templates and stacks to put there."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

from infrastructure.account import Account
from infrastructure.deployed import Deployed, DeployedStack, read_stack
from infrastructure.fleet import Fleet
from infrastructure.names import Names
from infrastructure.screen import Screen
from tests.fakes.fake_cloudformation import FakeCloudFormation, refuse

ID, REGION = "123456789012", "eu-west-1"


class FakeIot:
    """A client of AWS IoT; what it holds is public, and pages have two entries."""

    def __init__(self) -> None:
        self.things: set[str] = set()
        self.groups: dict[str, set[str]] = {}
        self.certificates: dict[str, str] = {}  # id to status
        self.unlisted: set[str] = set()  # ids of certificates that lists do not have yet
        self.policies: dict[str, set[str]] = {}  # name to the ARNs it is attached to
        self.metrics: dict[str, tuple[str, dict[str, str]]] = {}  # name to type and tags
        self.profiles: dict[str, set[str]] = {}  # name to the custom metrics that it uses
        self.invalid: list[str] = []  # what ValidateSecurityProfileBehaviors finds
        self.errors: dict[str, Exception] = {}  # what a call, by its name, ends with
        self.calls: list[str] = []

    def get_paginator(self, operation: str) -> FakePaginator:
        return FakePaginator(self, operation)

    def list_certificates(self) -> list[dict[str, Any]]:
        found = {key: status for key, status in self.certificates.items() if key not in self.unlisted}
        return [
            {"certificates": [{"certificateId": key, "status": status} for key, status in page]}
            for page in _pages(found.items())
        ]

    def list_targets_for_policy(self, policyName: str) -> list[dict[str, Any]]:  # noqa: N803
        arns = _of(self.policies, policyName, "ListTargetsForPolicy")
        listed = [arn for arn in sorted(arns) if arn.rpartition("/")[2] not in self.unlisted]
        return [{"targets": page} for page in _pages(listed)]

    def list_things_in_thing_group(self, thingGroupName: str) -> list[dict[str, Any]]:  # noqa: N803
        members = _of(self.groups, thingGroupName, "ListThingsInThingGroup")
        return [{"things": page} for page in _pages(sorted(members))]

    def describe_thing(self, thingName: str) -> dict[str, str]:  # noqa: N803
        self._call("describe_thing")
        _of(self.things, thingName, "DescribeThing")
        return {"thingName": thingName}

    def add_thing_to_thing_group(self, thingGroupName: str, thingName: str, **_: Any) -> dict[str, str]:  # noqa: N803
        self._call("add_thing_to_thing_group")
        _of(self.things, thingName, "AddThingToThingGroup")
        _of(self.groups, thingGroupName, "AddThingToThingGroup")
        self.groups[thingGroupName].add(thingName)
        return {}

    def describe_certificate(self, certificateId: str) -> dict[str, Any]:  # noqa: N803
        self._call("describe_certificate")
        _of(self.certificates, certificateId, "DescribeCertificate")
        status = self.certificates[certificateId]
        return {"certificateDescription": {"status": status, "certificatePem": f"PEM of {certificateId}"}}

    def list_attached_policies(self, target: str) -> dict[str, Any]:
        self._call("list_attached_policies")
        return {"policies": [{"policyName": name} for name, arns in self.policies.items() if target in arns]}

    def detach_policy(self, policyName: str, target: str) -> dict[str, str]:  # noqa: N803
        self._call("detach_policy")
        _of(self.policies, policyName, "DetachPolicy")
        self.policies[policyName].remove(target)
        return {}

    def describe_custom_metric(self, metricName: str) -> dict[str, str]:  # noqa: N803
        self._call("describe_custom_metric")
        _of(self.metrics, metricName, "DescribeCustomMetric")
        arn = f"arn:aws:iot:{REGION}:{ID}:custommetric/{metricName}"
        return {"metricName": metricName, "metricType": self.metrics[metricName][0], "metricArn": arn}

    def list_tags_for_resource(self, resourceArn: str) -> dict[str, Any]:  # noqa: N803
        self._call("list_tags_for_resource")
        tags = self.metrics[resourceArn.rpartition("/")[2]][1]
        return {"tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def describe_security_profile(self, securityProfileName: str) -> dict[str, str]:  # noqa: N803
        self._call("describe_security_profile")
        _of(self.profiles, securityProfileName, "DescribeSecurityProfile")
        return {"securityProfileName": securityProfileName}

    def list_security_profiles(self, metricName: str) -> dict[str, Any]:  # noqa: N803
        self._call("list_security_profiles")
        users = [name for name, metrics in self.profiles.items() if metricName in metrics]
        return {"securityProfileIdentifiers": [{"name": name} for name in users]}

    def validate_security_profile_behaviors(self, behaviors: list[Any]) -> dict[str, Any]:
        self._call("validate_security_profile_behaviors")
        return {"valid": not self.invalid, "validationErrors": [{"errorMessage": each} for each in self.invalid]}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.errors:
            raise self.errors[name]


class FakePaginator:
    """Pages of one of the lists."""

    def __init__(self, iot: FakeIot, operation: str) -> None:
        self._iot, self._operation = iot, operation

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        arguments.pop("PaginationConfig", None)
        yield from getattr(self._iot, self._operation)(**arguments)  # which asks only now, as boto3 does


def make_account(
    cloudformation: FakeCloudFormation | None = None, iot: FakeIot | None = None, **clients: Any
) -> Account:
    """Return an account with these clients."""
    return Account(
        id=ID,
        region=REGION,
        partition="aws",
        caller=f"arn:aws:iam::{ID}:user/deployer",
        endpoint="a1b2c3-ats.iot.eu-west-1.amazonaws.com",
        cloudformation=cloudformation or FakeCloudFormation(),
        iot=iot or FakeIot(),
        client=clients.__getitem__,
    )


def make_fleet(
    names: Names | None = None,
    deployed: Deployed | None = None,
    cloudformation: FakeCloudFormation | None = None,
    iot: FakeIot | None = None,
) -> Fleet:
    """Return a fleet in an account with these clients; nothing that it prints is seen."""
    account = make_account(cloudformation, iot)
    return Fleet(account, names or Names("lab"), make_screen()[0], deployed or Deployed())


def make_screen() -> tuple[Screen, io.StringIO]:
    """Return a screen without a terminal, and what it prints."""
    printed = io.StringIO()
    return Screen(printed), printed


def certificate_arn(certificate_id: str) -> str:
    """Return the ARN of a certificate of the account's."""
    return f"arn:aws:iot:{REGION}:{ID}:cert/{certificate_id}"


def things_template(requests: dict[str, str], digest: str = "d") -> dict[str, Any]:
    """Return a template as synthesis makes it for things with these requests."""
    resources: dict[str, Any] = {}
    for name, request in requests.items():
        thing, certificate = {"Ref": f"{name}Thing"}, f"{name}Certificate"
        principal = {"Fn::GetAtt": [certificate, "Arn"]}
        properties = {"CertificateSigningRequest": request, "Status": "ACTIVE"}
        resources[f"{name}Thing"] = {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": name}}
        resources[certificate] = {"Type": "AWS::IoT::Certificate", "Properties": properties}
        resources[f"{name}Identity"] = {
            "Type": "AWS::IoT::ThingPrincipalAttachment",
            "Properties": {"ThingName": thing, "Principal": principal},
        }
    outputs = {f"{name}Certificate": {"Value": {"Ref": f"{name}Certificate"}} for name in requests}
    metadata = {"amazon-defender-publisher": {"digest": digest}}
    return {"Metadata": metadata, "Resources": resources, "Outputs": outputs}


def as_planned(account: Account, name: str) -> DeployedStack:
    """Return a stack as it is when the plan is made."""
    stack = read_stack(account, name)
    assert stack is not None
    return stack


def _pages(entries: Iterable[Any]) -> Iterator[list[Any]]:
    entries = list(entries)
    for start in range(0, max(1, len(entries)), 2):
        yield entries[start : start + 2]


def _of(known: Any, name: str, operation: str) -> Any:
    if name not in known:
        raise refuse("ResourceNotFoundException", f"{name} does not exist", operation)
    return known[name] if isinstance(known, dict) else name
