"""Device Defender's audit check "Role alias overly permissive", as far as AWS says what it looks for.

https://docs.aws.amazon.com/iot-device-defender/latest/devguide/audit-chk-iot-role-alias-permissive.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

AUDITING = ("iam", "cloudtrail", "guardduty", "inspector", "inspector2", "trustedadvisor")
IOT = ("iot", "iotdata", "iotjobsdata")
READS = ("Describe", "Get", "List", "Search")
DATA_PLANE = (
    *("Connect", "Publish", "Subscribe", "Receive", "RetainPublish"),
    *("GetThingShadow", "UpdateThingShadow", "DeleteThingShadow", "ListNamedShadowsForThing"),
    *("DescribeJobExecution", "GetPendingJobExecutions", "StartNextPendingJobExecution", "UpdateJobExecution"),
)
THING_WRITES = ("CreateThing", "UpdateThing", "DeleteThing", "AttachThingPrincipal", "DetachThingPrincipal")
VARIABLES = ("credentials-iot:ThingName", "credentials-iot:AwsCertificateId")


def find_reasons(document: Mapping[str, Any]) -> set[str]:
    """Return the reason codes that the check answers with for a role's policy; none where it complies."""
    statements = [each for each in document["Statement"] if each["Effect"] == "Allow"]
    return {reason for statement in statements for reason in _reasons_of(statement)}


def _reasons_of(statement: Mapping[str, Any]) -> Iterator[str]:
    broad = any("*" in each and not any(name in each for name in VARIABLES) for each in _list(statement["Resource"]))
    for action in _list(statement["Action"]):
        service, _, name = action.partition(":")
        if name == "*" or action == "*":
            yield "ALLOWS_BROAD_ACCESS_TO_USED_SERVICES"
        if action == "*" or service.lower() in AUDITING:
            yield "ALLOWS_ACCESS_TO_SECURITY_AUDITING_SERVICES"
        if action == "*" or service.lower() in IOT:
            yield from _reasons_of_iot(name or "*", broad)


def _reasons_of_iot(name: str, broad: bool) -> Iterator[str]:
    if broad and any(fnmatchcase(each, name) for each in DATA_PLANE):
        yield "ALLOWS_BROAD_ACCESS_TO_IOT_DATA_PLANE_ACTIONS"
    elif name in DATA_PLANE:
        return
    if any(fnmatchcase(each, name) for each in THING_WRITES):
        yield "ALLOWS_ACCESS_TO_IOT_THING_ADMIN_WRITE_ACTIONS"
    elif name.startswith(READS):
        if broad:
            yield "ALLOWS_BROAD_ACCESS_TO_IOT_THING_ADMIN_READ_ACTIONS"
    elif name not in DATA_PLANE:
        yield "ALLOWS_ACCESS_TO_IOT_NON_THING_ADMIN_ACTIONS"


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
