"""What CloudFormation's handlers call on behalf of who deploys, as AWS's own resource schemas list it.

From aws-cloudformation/aws-cloudformation-resource-providers-iot; the attachments, which have no schema there, and
what tags and a certificate's end need besides, from the API that does it.
"""

from __future__ import annotations

from typing import Any

READ_TAGS, CHANGE_TAGS = ["iot:ListTagsForResource"], ["iot:TagResource", "iot:UntagResource"]
VERSIONS = ["iot:ListPolicyVersions", "iot:DeletePolicyVersion"]
GROUP = ["iot:DescribeThingGroup", *READ_TAGS]
METRIC = ["iot:DescribeCustomMetric", *READ_TAGS]
PROFILE = ["iot:DescribeSecurityProfile", "iot:ListTargetsForSecurityProfile", *READ_TAGS]

PERMISSIONS: dict[str, dict[str, list[str]]] = {
    "AWS::IoT::Policy": {
        "create": ["iot:CreatePolicy", "iot:GetPolicy", "iot:TagResource"],
        "update": ["iot:GetPolicy", "iot:CreatePolicyVersion", "iot:SetDefaultPolicyVersion", *VERSIONS],
        "delete": ["iot:DeletePolicy", "iot:GetPolicy", *VERSIONS],
    },
    "AWS::IoT::ThingGroup": {
        "create": ["iot:CreateThingGroup", "iot:TagResource", *GROUP],
        "update": ["iot:UpdateThingGroup", *GROUP, *CHANGE_TAGS],
        "delete": ["iot:DescribeThingGroup", "iot:DeleteThingGroup"],
    },
    "AWS::IoT::Thing": {
        "create": ["iot:CreateThing", "iot:DescribeThing"],
        "update": ["iot:UpdateThing", "iot:DescribeThing"],
        "delete": ["iot:DeleteThing", "iot:DescribeThing"],
    },
    "AWS::IoT::Certificate": {
        "create": ["iot:CreateCertificateFromCsr", "iot:DescribeCertificate"],
        "update": ["iot:UpdateCertificate", "iot:DescribeCertificate"],
        "delete": ["iot:UpdateCertificate", "iot:DeleteCertificate", "iot:DescribeCertificate"],
    },
    "AWS::IoT::PolicyPrincipalAttachment": {"create": ["iot:AttachPolicy"], "delete": ["iot:DetachPolicy"]},
    "AWS::IoT::ThingPrincipalAttachment": {
        "create": ["iot:AttachThingPrincipal"],
        "delete": ["iot:DetachThingPrincipal"],
    },
    "AWS::IoT::CustomMetric": {
        "create": ["iot:CreateCustomMetric", "iot:TagResource", *METRIC],
        "update": ["iot:UpdateCustomMetric", *METRIC, *CHANGE_TAGS],
        "delete": ["iot:DescribeCustomMetric", "iot:DeleteCustomMetric"],
    },
    "AWS::IoT::SecurityProfile": {
        "create": ["iot:CreateSecurityProfile", "iot:AttachSecurityProfile", "iot:TagResource", *PROFILE],
        "update": [
            "iot:UpdateSecurityProfile",
            "iot:AttachSecurityProfile",
            "iot:DetachSecurityProfile",
            *PROFILE,
            *CHANGE_TAGS,
        ],
        "delete": ["iot:DescribeSecurityProfile", "iot:DeleteSecurityProfile"],
    },
    "AWS::SNS::Topic": {
        "create": ["sns:CreateTopic", "sns:TagResource", "sns:GetTopicAttributes"],
        "delete": ["sns:GetTopicAttributes", "sns:DeleteTopic"],
    },
    "AWS::SNS::Subscription": {"create": ["sns:Subscribe"], "delete": ["sns:Unsubscribe"]},
    "AWS::IAM::Role": {
        "create": ["iam:CreateRole", "iam:GetRole", "iam:PutRolePolicy", "iam:TagRole"],
        "delete": ["iam:GetRole", "iam:DeleteRolePolicy", "iam:DeleteRole"],
    },
}
NAMES = {
    "AWS::IoT::Policy": ("policy", "PolicyName"),
    "AWS::IoT::ThingGroup": ("thinggroup", "ThingGroupName"),
    "AWS::IoT::Thing": ("thing", "ThingName"),
    "AWS::IoT::CustomMetric": ("custommetric", "MetricName"),
    "AWS::IoT::SecurityProfile": ("securityprofile", "SecurityProfileName"),
}


def find_resource(kind: str, properties: dict[str, Any], physical_id: str, region: str, account: str) -> str:
    """Return the ARN of what a handler works on, `*` where the API's actions take none."""
    start = f"arn:aws:iot:{region}:{account}:"
    if kind in NAMES:
        part, name = NAMES[kind]
        return f"{start}{part}/{properties.get(name, physical_id)}"
    if kind == "AWS::IoT::Certificate":
        return f"{start}cert/{physical_id}" if physical_id else "*"
    if kind == "AWS::SNS::Topic":
        return f"arn:aws:sns:{region}:{account}:{properties.get('TopicName', physical_id.rpartition(':')[2])}"
    if kind == "AWS::SNS::Subscription":
        return str(properties.get("TopicArn", "*"))
    if kind == "AWS::IAM::Role":
        return f"arn:aws:iam::{account}:role/{properties.get('RoleName') or physical_id}"
    return str(properties.get("Principal", "*"))


def permissions_of(kind: str, what: str, properties: dict[str, Any], resource: str) -> list[tuple[str, str]]:
    """Return what CloudFormation needs to `create`, `update` or `delete` a resource: actions, each on an ARN."""
    needed = [(action, resource) for action in PERMISSIONS.get(kind, {}).get(what, [])]
    targets = properties.get("AlertTargets", {}) if what != "delete" else {}
    return needed + [("iam:PassRole", str(target["RoleArn"])) for target in targets.values()]
