"""What lets a device that provisioned itself get another certificate, and ends the old one after that."""

from __future__ import annotations

from aws_cdk.aws_iam import ManagedPolicy, Role, ServicePrincipal
from aws_cdk.aws_iot import CfnPolicy, CfnTopicRule
from aws_cdk.aws_logs import CfnLogGroup
from constructs import Construct

from infrastructure.constructs.claim import add_template, body_of, questions
from infrastructure.constructs.function import Function, arn
from infrastructure.names import Names

THING = "${iot:Connection.Thing.ThingName}"
SHADOW = "$aws/things/{}/shadow/name/rotation/"
DAYS = 30  # that the log of the functions is kept
# The principal of a connection with a certificate is the certificate's id.
COMMITTED = (
    "SELECT topic(3) AS thing, principal() AS principal, state.reported.certificateId AS certificateId "  # noqa: S608
    f"FROM '{SHADOW.format('+')}update' WHERE state.reported.certificateId = principal()"
)


class Rotation(Construct):
    """The template for another certificate, its hook, the policy for it, and the rule that ends the old one.

    `role_arn` is the role with which AWS IoT registers things, `log_group` where functions write.
    """

    def __init__(self, scope: Construct, construct_id: str, names: Names) -> None:
        super().__init__(scope, construct_id)
        self.log_group = f"/aws/lambda/{names.claim_stack}"
        CfnLogGroup(self, "Log", log_group_name=self.log_group, retention_in_days=DAYS)
        self.role_arn = _registration_role(self).role_arn
        document = questions(names.rotation_template, [], (SHADOW.format(THING) + "*",))
        CfnPolicy(self, "Policy", policy_name=names.rotation_policy, policy_document=document)
        principals = (["iot:ListThingPrincipals"], arn("iot", "thing/*"))
        hook = Function(
            self,
            "Hook",
            "rotation_hook",
            caller=arn("iot", f"provisioningtemplate/{names.rotation_template}"),
            allowed=[principals],
            log_group=self.log_group,
        )
        thing = {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "ThingName"}}}
        add_template(self, names.rotation_template, body_of({"thing": thing}, names), self.role_arn, hook)
        self._add_rule(names, principals)

    def _add_rule(self, names: Names, principals: tuple[list[str], str]) -> None:
        commit = Function(
            self,
            "Commit",
            "rotation_commit",
            caller=arn("iot", f"rule/{names.rotation_rule}"),
            allowed=[
                principals,
                (["iot:ListThingGroupsForThing"], arn("iot", "thing/*")),
                (["iot:UpdateCertificate"], arn("iot", "cert/*")),
            ],
            log_group=self.log_group,
            environment={"GROUP": names.group},
        )
        invoke = CfnTopicRule.LambdaActionProperty(function_arn=commit.arn)
        CfnTopicRule(
            self,
            "Rule",
            rule_name=names.rotation_rule,
            topic_rule_payload=CfnTopicRule.TopicRulePayloadProperty(
                sql=COMMITTED,
                aws_iot_sql_version="2016-03-23",
                actions=[CfnTopicRule.ActionProperty(lambda_=invoke)],
                rule_disabled=False,
            ),
        ).node.add_dependency(commit.permission)


def _registration_role(scope: Construct) -> Role:
    """Return the role with which AWS IoT does what a template says: AWS's own policy for it."""
    managed = ManagedPolicy.from_aws_managed_policy_name("service-role/AWSIoTThingsRegistration")
    return Role(scope, "Registration", assumed_by=ServicePrincipal("iot.amazonaws.com"), managed_policies=[managed])
