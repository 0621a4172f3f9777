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
    """Allows a device to connect as itself, to report its own metrics and to hear what becomes of them."""

    def __init__(self, scope: Construct, construct_id: str, names: Names) -> None:
        super().__init__(scope, construct_id)
        CfnPolicy(self, "Policy", policy_name=names.policy, policy_document=_policy_document())


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
