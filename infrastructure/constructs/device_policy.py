"""The IoT policy of every device of a fleet."""

from __future__ import annotations

from typing import Any

from aws_cdk import Fn
from aws_cdk.aws_iot import CfnPolicy
from constructs import Construct

from infrastructure.names import Names

# Resolves only for a certificate that is attached to a thing whose name is the client id; `!` keeps it out of Fn::Sub.
_THING = "${!iot:Connection.Thing.ThingName}"
_METRICS = f"$aws/things/{_THING}/defender/metrics/*"  # reports, and the replies to them


class DevicePolicy(Construct):
    """Allows a device to connect as itself, to report its own metrics and to hear what becomes of them.

    With `cloudwatch` it also allows a device to get credentials of the fleet's role for CloudWatch.
    """

    def __init__(self, scope: Construct, construct_id: str, names: Names, cloudwatch: bool = False) -> None:
        super().__init__(scope, construct_id)
        document = _policy_document()
        if cloudwatch:
            document["Statement"].append(_assume_role(names))
        CfnPolicy(self, "Policy", policy_name=names.policy, policy_document=document)


def _assume_role(names: Names) -> dict[str, Any]:
    role_alias = _arn(f"rolealias/{names.role_alias}")
    return {"Effect": "Allow", "Action": "iot:AssumeRoleWithCertificate", "Resource": role_alias}


def _policy_document() -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": _arn(f"client/{_THING}"),
                "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
            },
            {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": _arn(f"topic/{_METRICS}")},
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": _arn(f"topicfilter/{_METRICS}")},
        ],
    }


def _arn(resource: str) -> str:
    return Fn.sub(f"arn:${{AWS::Partition}}:iot:${{AWS::Region}}:${{AWS::AccountId}}:{resource}")
