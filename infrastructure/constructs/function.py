"""A function in AWS Lambda that AWS IoT calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from aws_cdk import Fn
from aws_cdk.aws_iam import PolicyDocument, PolicyStatement, Role, ServicePrincipal
from aws_cdk.aws_lambda import CfnFunction, CfnPermission
from constructs import Construct

FUNCTIONS = Path(__file__).resolve().parent.parent / "functions"
RUNTIME = "python3.13"  # which brings boto3 along
SECONDS = 5  # that AWS IoT waits for a hook's answer
MEGABYTES = 512  # by which Lambda deals out processor time: with 128 the import of boto3 alone takes more than a second


class Function(Construct):
    """A module of `infrastructure/functions` as a function, with a role of its own, which only `caller` may invoke.

    `allowed` is which actions its role has on which resources; `caller` is the ARN of the template or rule.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        module: str,
        caller: str,
        allowed: Sequence[tuple[Sequence[str], str]],
        log_group: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        logs = (["logs:CreateLogStream", "logs:PutLogEvents"], arn("logs", f"log-group:{log_group}:*"))
        statements = [PolicyStatement(actions=list(what), resources=[where]) for what, where in (*allowed, logs)]
        role = Role(
            self,
            "Role",
            assumed_by=ServicePrincipal("lambda.amazonaws.com"),
            inline_policies={"do": PolicyDocument(statements=statements)},
        )
        function = CfnFunction(
            self,
            "Function",
            code=CfnFunction.CodeProperty(zip_file=(FUNCTIONS / f"{module}.py").read_text("utf-8")),
            handler="index.handler",
            runtime=RUNTIME,
            role=role.role_arn,
            timeout=SECONDS,
            memory_size=MEGABYTES,
            environment=CfnFunction.EnvironmentProperty(variables=dict(environment)) if environment else None,
            logging_config=CfnFunction.LoggingConfigProperty(log_group=log_group),
        )
        self.permission = CfnPermission(
            self,
            "Permission",
            action="lambda:InvokeFunction",
            function_name=function.attr_arn,
            principal="iot.amazonaws.com",
            source_arn=caller,  # which has the account in it; AWS's page on hooks names no other condition
        )
        self.arn = function.attr_arn


def arn(service: str, resource: str) -> str:
    """Return an ARN of this account and region."""
    kept = resource.replace("${", "${!")  # a variable of IoT's, none of CloudFormation's
    return Fn.sub(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{kept}")
