"""What lets the devices of a fleet send to CloudWatch, each to its own: a role, and the role alias that leads to it."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Aws, CfnOutput, Fn
from aws_cdk.aws_iam import PolicyDocument, PolicyStatement, Role, ServicePrincipal
from aws_cdk.aws_iot import CfnRoleAlias
from constructs import Construct

from infrastructure.names import Names

PROVIDER = "credentials.iot.amazonaws.com"
LIFETIME = 3600  # seconds that credentials last, which is the longest a role's session does unless it says otherwise
LOGS = ["logs:CreateLogStream", "logs:GetLogEvents", "logs:PutLogEvents"]  # reading back tells what arrived


class CloudWatchAccess(Construct):
    """A role that only AWS IoT's credentials provider may assume, and only for this role alias.

    Its policy goes by the variable `credentials-iot:ThingName`: Device Defender's audit finds a role alias overly
    permissive where it is not confined like that.
    """

    def __init__(
        self, scope: Construct, construct_id: str, names: Names, namespace: str | None, resources: Sequence[str]
    ) -> None:
        super().__init__(scope, construct_id)
        # From AWS's "Detailed examples for confused deputy prevention" of AWS IoT.
        guards = {
            "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
            "ArnLike": {"aws:SourceArn": _arn("iot", f"rolealias/{names.role_alias}")},
        }
        role = Role(
            self,
            "Role",
            assumed_by=ServicePrincipal(PROVIDER, conditions=guards),
            inline_policies={"send": _send(namespace, resources)},
        )
        alias = CfnRoleAlias(
            self,
            "RoleAlias",
            role_alias=names.role_alias,
            role_arn=role.role_arn,
            credential_duration_seconds=LIFETIME,
        )
        alias.override_logical_id("RoleAlias")
        CfnOutput(self, "RoleArn", value=role.role_arn).override_logical_id("RoleArn")


def _send(namespace: str | None, resources: Sequence[str]) -> PolicyDocument:
    statements = []
    if namespace is not None:
        only = {"StringEquals": {"cloudwatch:namespace": namespace}}
        put = ["cloudwatch:PutMetricData"]  # which knows no resources
        statements.append(PolicyStatement(actions=put, resources=["*"], conditions=only))
    if resources:
        statements.append(PolicyStatement(actions=LOGS, resources=[_arn("logs", each) for each in resources]))
    return PolicyDocument(statements=statements)


def _arn(service: str, resource: str) -> str:
    kept = resource.replace("${", "${!")  # a variable of IAM's, none of CloudFormation's
    return Fn.sub(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{kept}")
