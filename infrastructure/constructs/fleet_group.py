"""The thing group of a fleet."""

from __future__ import annotations

from aws_cdk import CfnOutput
from aws_cdk.aws_iot import CfnThingGroup
from constructs import Construct

from infrastructure.names import Names


class FleetGroup(Construct):
    """What security profiles are attached to; things are added with the SDK, for which no resource type exists."""

    def __init__(self, scope: Construct, construct_id: str, names: Names) -> None:
        super().__init__(scope, construct_id)
        group = CfnThingGroup(self, "ThingGroup", thing_group_name=names.group)
        output = CfnOutput(self, "GroupArn", value=group.attr_arn)
        output.override_logical_id("GroupArn")
