"""Alerts by mail: the topic, the subscription, and the role that lets Device Defender publish."""

from __future__ import annotations

from aws_cdk.aws_iam import PolicyDocument, PolicyStatement, Role, ServicePrincipal
from aws_cdk.aws_sns import CfnSubscription, CfnTopic
from constructs import Construct

from infrastructure.names import Names


class Alerts(Construct):
    """Where alarms go; nothing is mailed before the address's owner has confirmed the subscription."""

    def __init__(self, scope: Construct, construct_id: str, names: Names, email: str) -> None:
        super().__init__(scope, construct_id)
        self._topic_arn = CfnTopic(self, "Topic", topic_name=names.topic).ref
        CfnSubscription(self, "Subscription", topic_arn=self._topic_arn, protocol="email", endpoint=email)
        self._role = Role(
            self,
            "Role",
            assumed_by=ServicePrincipal("iot.amazonaws.com"),
            inline_policies={"publish": _publish_to(self._topic_arn)},
        )

    @property
    def targets(self) -> dict[str, dict[str, str]]:
        """The alert targets of a security profile."""
        return {"SNS": {"alertTargetArn": self._topic_arn, "roleArn": self._role.role_arn}}


def _publish_to(topic_arn: str) -> PolicyDocument:
    return PolicyDocument(statements=[PolicyStatement(actions=["sns:Publish"], resources=[topic_arn])])
