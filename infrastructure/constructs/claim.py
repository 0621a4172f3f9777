"""What lets a device with the fleet's claim get a certificate of its own, and be a thing of the fleet."""

from __future__ import annotations

import json
from typing import Any

from aws_cdk import CfnOutput
from aws_cdk.aws_dynamodb import CfnTable
from aws_cdk.aws_iot import CfnCertificate, CfnPolicy, CfnPolicyPrincipalAttachment, CfnProvisioningTemplate
from constructs import Construct

from infrastructure.constructs.function import Function, arn
from infrastructure.description import ClaimStack
from infrastructure.names import Names

CSR = "$aws/certificates/create-from-csr/json"
REGISTER = "$aws/provisioning-templates/{}/provision/json"
HOOK_VERSION = "2020-04-01"  # the only one of a hook's payload that there is


class Claim(Construct):
    """The template, its hook, the table of serials, and the claim certificate with its policy, if one is in force."""

    def __init__(
        self, scope: Construct, construct_id: str, description: ClaimStack, role_arn: str, log_group: str
    ) -> None:
        super().__init__(scope, construct_id)
        names = description.names
        self._add_table(names)
        hook = Function(
            self,
            "Hook",
            "claim_hook",
            caller=arn("iot", f"provisioningtemplate/{names.template}"),
            allowed=[
                (["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], _table_arn(names)),
                (["iot:DescribeThing", "iot:ListThingPrincipals"], arn("iot", "thing/*")),
                (["iot:UpdateCertificate"], arn("iot", "cert/*")),
            ],
            log_group=log_group,
            environment={"TABLE": names.serials_table, "PREFIXES": " ".join(description.name_prefixes)},
        )
        add_template(self, names.template, template_body(names), role_arn, hook)
        policy = CfnPolicy(self, "Policy", policy_name=names.claim_policy, policy_document=claim_policy(names))
        if description.request is not None:
            self._add_certificate(policy, description.request)

    def _add_table(self, names: Names) -> None:
        key = CfnTable.KeySchemaProperty(attribute_name="serial", key_type="HASH")
        CfnTable(
            self,
            "Serials",
            table_name=names.serials_table,
            billing_mode="PAY_PER_REQUEST",
            attribute_definitions=[CfnTable.AttributeDefinitionProperty(attribute_name="serial", attribute_type="S")],
            key_schema=[key],
        ).override_logical_id("Serials")

    def _add_certificate(self, policy: CfnPolicy, request: str) -> None:
        certificate = CfnCertificate(self, "Certificate", status="ACTIVE", certificate_signing_request=request)
        certificate.override_logical_id("ClaimCertificate")
        attached = CfnPolicyPrincipalAttachment(
            self, "Attachment", policy_name=policy.policy_name or "", principal=certificate.attr_arn
        )
        attached.node.add_dependency(policy)
        CfnOutput(self, "CertificateId", value=certificate.ref).override_logical_id("ClaimCertificate")


def add_template(scope: Construct, name: str, body: dict[str, Any], role_arn: str, hook: Function) -> None:
    """Add a provisioning template, which AWS only takes once it may call the hook."""
    template = CfnProvisioningTemplate(
        scope,
        "Template",
        template_name=name,
        template_type="FLEET_PROVISIONING",
        enabled=True,
        provisioning_role_arn=role_arn,
        template_body=json.dumps(body, separators=(",", ":"), sort_keys=True),
        pre_provisioning_hook=CfnProvisioningTemplate.ProvisioningHookProperty(
            target_arn=hook.arn, payload_version=HOOK_VERSION
        ),
    )
    template.node.add_dependency(hook.permission)


def template_body(names: Names) -> dict[str, Any]:
    """Return what becomes of a device: a thing in the fleet's group, with the fleet's policies on its certificate."""
    resources = {"thing": {**_thing(), "OverrideSettings": {"ThingGroups": "MERGE"}}}
    resources["thing"]["Properties"]["ThingGroups"] = [names.group]
    return body_of(resources, names)


def body_of(resources: dict[str, Any], names: Names) -> dict[str, Any]:
    """Return a template's body: these resources, and an ACTIVE certificate with the policies of the fleet."""
    given = {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"}
    certificate = {"Type": "AWS::IoT::Certificate", "Properties": given}
    policies = {
        part: {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": policy}}
        for part, policy in (("policy", names.policy), ("rotation", names.rotation_policy))
    }
    parameters = ("ThingName", "SerialNumber", "AWS::IoT::Certificate::Id")
    return {
        "Parameters": {name: {"Type": "String"} for name in parameters},
        "Resources": {**resources, "certificate": certificate, **policies},
    }


def claim_policy(names: Names) -> dict[str, Any]:
    """Return the policy of the claim certificate: two questions and their answers, under a name of no thing's."""
    return questions(names.template, [{"Effect": "Allow", "Action": "iot:Connect", "Resource": arn("iot", CLAIMING)}])


CLAIMING = "client/claim-*"  # the client ids of devices that have the claim only


def questions(template: str, more: list[dict[str, Any]], topics: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a policy that allows to ask for a certificate and to register it by one template, and `more`.

    `topics` are what may be published to, subscribed to and received besides.
    """
    asked = [CSR, REGISTER.format(template)]
    answers = [f"{topic}/*" for topic in asked]
    allow = {
        "iot:Publish": [arn("iot", f"topic/{topic}") for topic in (*asked, *topics)],
        "iot:Receive": [arn("iot", f"topic/{topic}") for topic in (*answers, *topics)],
        "iot:Subscribe": [arn("iot", f"topicfilter/{topic}") for topic in (*answers, *topics)],
    }
    statements = [{"Effect": "Allow", "Action": action, "Resource": where} for action, where in allow.items()]
    return {"Version": "2012-10-17", "Statement": [*more, *statements]}


def _thing() -> dict[str, Any]:
    return {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "ThingName"}}}


def _table_arn(names: Names) -> str:
    return arn("dynamodb", f"table/{names.serials_table}")
