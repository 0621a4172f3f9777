"""What CloudFormation's handlers call on behalf of who deploys, as AWS's own resource schemas list it.

From aws-cloudformation/aws-cloudformation-resource-providers-iot, -logs, -s3, -greengrassv2, -kinesis and the like; the
attachments, which have no schema there, and what tags and a certificate's end need besides, from the API that does it.
"""

from __future__ import annotations

import re
from typing import Any

READ_TAGS, CHANGE_TAGS = ["iot:ListTagsForResource"], ["iot:TagResource", "iot:UntagResource"]
VERSIONS = ["iot:ListPolicyVersions", "iot:DeletePolicyVersion"]
GROUP = ["iot:DescribeThingGroup", *READ_TAGS]
METRIC = ["iot:DescribeCustomMetric", *READ_TAGS]
ALIAS = ["iot:DescribeRoleAlias", *READ_TAGS]
JOBS = [
    *("iot:CancelJob", "iot:CreateJob", "iot:DeleteThingShadow", "iot:DescribeJob", "iot:DescribeThing"),
    *("iot:DescribeThingGroup", "iot:GetThingShadow", "iot:UpdateJob", "iot:UpdateThingShadow"),
]
LOG_GROUP = ["logs:ListTagsForResource"]
TEMPLATE = ["iot:DescribeProvisioningTemplate", *READ_TAGS]
TEMPLATE_VERSIONS = [
    *("iot:CreateProvisioningTemplateVersion", "iot:DeleteProvisioningTemplateVersion"),
    "iot:ListProvisioningTemplateVersions",
]
FUNCTION = [
    *("lambda:GetFunction", "lambda:GetFunctionCodeSigningConfig", "lambda:GetFunctionRecursionConfig"),
    *("lambda:GetRuntimeManagementConfig", "lambda:ListTags"),
]
TABLE = [
    *("dynamodb:DescribeContinuousBackups", "dynamodb:DescribeContributorInsights", "dynamodb:DescribeTable"),
    *("dynamodb:DescribeKinesisStreamingDestination", "dynamodb:DescribeTimeToLive", "dynamodb:GetResourcePolicy"),
    "dynamodb:ListTagsOfResource",
]
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
    "AWS::IoT::RoleAlias": {
        "create": ["iot:CreateRoleAlias", "iot:TagResource", *ALIAS],
        "update": ["iot:UpdateRoleAlias", *ALIAS, *CHANGE_TAGS],
        "delete": ["iot:DescribeRoleAlias", "iot:DeleteRoleAlias"],
    },
    "AWS::Logs::LogGroup": {
        "create": ["logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource", *LOG_GROUP],
        "update": ["logs:PutRetentionPolicy", "logs:DeleteRetentionPolicy", "logs:TagResource", *LOG_GROUP],
        "delete": ["logs:DeleteLogGroup"],
    },
    "AWS::S3::Bucket": {
        "create": [
            *("s3:CreateBucket", "s3:PutBucketOwnershipControls", "s3:PutBucketPublicAccessBlock"),
            *("s3:PutBucketTagging", "s3:PutEncryptionConfiguration"),
        ],
        "delete": ["s3:DeleteBucket"],
    },
    "AWS::GreengrassV2::ComponentVersion": {
        "create": [
            *("greengrass:CreateComponentVersion", "greengrass:DescribeComponent"),
            *("greengrass:ListTagsForResource", "greengrass:TagResource"),
        ],
        "delete": ["greengrass:DeleteComponent"],
    },
    "AWS::GreengrassV2::Deployment": {
        "create": ["greengrass:CreateDeployment", "greengrass:GetDeployment", *JOBS],
        "delete": ["greengrass:CancelDeployment", "greengrass:DeleteDeployment", "iot:DeleteJob"],
    },
    "AWS::IoT::ProvisioningTemplate": {
        "create": ["iot:CreateProvisioningTemplate", "iot:TagResource", *TEMPLATE],
        "update": ["iot:UpdateProvisioningTemplate", *TEMPLATE_VERSIONS, *TEMPLATE, *CHANGE_TAGS],
        "delete": ["iot:DeleteProvisioningTemplate", "iot:DescribeProvisioningTemplate"],
    },
    "AWS::IoT::TopicRule": {
        "create": ["iot:CreateTopicRule", "iot:GetTopicRule", "iot:TagResource", *READ_TAGS],
        "update": ["iot:ReplaceTopicRule", "iot:GetTopicRule", *READ_TAGS, *CHANGE_TAGS],
        "delete": ["iot:DeleteTopicRule", "iot:GetTopicRule"],
    },
    "AWS::Lambda::Function": {
        "create": ["lambda:CreateFunction", "lambda:TagResource", *FUNCTION],
        "update": [
            *("lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration", "lambda:GetFunctionConfiguration"),
            *("lambda:TagResource", "lambda:UntagResource"),
            *FUNCTION,
        ],
        "delete": ["lambda:DeleteFunction", "lambda:GetFunction"],
    },
    "AWS::Lambda::Permission": {
        "create": ["lambda:AddPermission", "lambda:GetPolicy"],
        "update": ["lambda:AddPermission", "lambda:GetPolicy", "lambda:RemovePermission"],
        "delete": ["lambda:RemovePermission", "lambda:GetPolicy"],
    },
    "AWS::DynamoDB::Table": {
        "create": ["dynamodb:CreateTable", "dynamodb:TagResource", *TABLE],
        "update": ["dynamodb:UpdateTable", "dynamodb:TagResource", "dynamodb:UntagResource", *TABLE],
        "delete": ["dynamodb:DeleteTable", "dynamodb:DescribeTable"],
    },
    "AWS::Kinesis::Stream": {
        "create": [
            *("kinesis:AddTagsToStream", "kinesis:CreateStream", "kinesis:DescribeStreamSummary"),
            *("kinesis:IncreaseStreamRetentionPeriod", "kinesis:ListTagsForStream", "kinesis:StartStreamEncryption"),
            *("kinesis:TagResource", "kinesis:UpdateStreamMode"),
        ],
        "delete": ["kinesis:DeleteStream", "kinesis:DescribeStreamSummary", "kinesis:RemoveTagsFromStream"],
    },
    "AWS::KinesisAnalyticsV2::Application": {
        "create": [
            *("kinesisanalytics:CreateApplication", "kinesisanalytics:DescribeApplication"),
            *("kinesisanalytics:ListTagsForResource", "kinesisanalytics:TagResource"),
        ],
        "update": ["kinesisanalytics:DescribeApplication", "kinesisanalytics:UpdateApplication"],
        "delete": ["kinesisanalytics:DeleteApplication", "kinesisanalytics:DescribeApplication"],
    },
    "AWS::SNS::Topic": {
        "create": ["sns:CreateTopic", "sns:TagResource", "sns:GetTopicAttributes"],
        "delete": ["sns:GetTopicAttributes", "sns:DeleteTopic"],
    },
    "AWS::SNS::Subscription": {"create": ["sns:Subscribe"], "delete": ["sns:Unsubscribe"]},
    "AWS::IAM::Role": {
        "create": ["iam:CreateRole", "iam:GetRole", "iam:TagRole"],
        "update": ["iam:GetRole", "iam:PutRolePolicy"],
        "delete": ["iam:GetRole", "iam:DeleteRolePolicy", "iam:DeleteRole"],
    },
}
PASSED = {"AWS::IoT::RoleAlias": "RoleArn", "AWS::IoT::ProvisioningTemplate": "ProvisioningRoleArn"}
PASSED["AWS::Lambda::Function"] = "Role"
PASSED["AWS::KinesisAnalyticsV2::Application"] = "ServiceExecutionRole"
PASSING = {
    kind: ["iam:PassRole", "iam:GetRole"] for kind in ("AWS::IoT::RoleAlias", "AWS::IoT::ProvisioningTemplate")
}  # what a role is looked at and passed on with
NAMES = {
    "AWS::IoT::Policy": ("policy", "PolicyName"),
    "AWS::IoT::ThingGroup": ("thinggroup", "ThingGroupName"),
    "AWS::IoT::Thing": ("thing", "ThingName"),
    "AWS::IoT::CustomMetric": ("custommetric", "MetricName"),
    "AWS::IoT::SecurityProfile": ("securityprofile", "SecurityProfileName"),
    "AWS::IoT::RoleAlias": ("rolealias", "RoleAlias"),
    "AWS::IoT::ProvisioningTemplate": ("provisioningtemplate", "TemplateName"),
    "AWS::IoT::TopicRule": ("rule", "RuleName"),
}
ELSEWHERE = {  # than in AWS IoT: the service, what is before the name, and its key
    "AWS::Kinesis::Stream": ("kinesis", "stream", "Name"),
    "AWS::KinesisAnalyticsV2::Application": ("kinesisanalytics", "application", "ApplicationName"),
    "AWS::DynamoDB::Table": ("dynamodb", "table", "TableName"),
}


def find_resource(kind: str, properties: dict[str, Any], physical_id: str, region: str, account: str) -> str:
    """Return the ARN of what a handler works on, `*` where the API's actions take none."""
    start = f"arn:aws:iot:{region}:{account}:"
    if kind in NAMES:
        part, name = NAMES[kind]
        return f"{start}{part}/{properties.get(name, physical_id)}"
    if kind in ELSEWHERE:
        service, part, name = ELSEWHERE[kind]
        return f"arn:aws:{service}:{region}:{account}:{part}/{properties.get(name, physical_id)}"
    if kind == "AWS::IoT::Certificate":
        return f"{start}cert/{physical_id}" if physical_id else "*"
    if kind == "AWS::S3::Bucket":
        return f"arn:aws:s3:::{properties.get('BucketName', physical_id)}"
    if kind == "AWS::GreengrassV2::Deployment":
        return f"arn:aws:greengrass:{region}:{account}:deployments:{physical_id or 'new'}"
    if kind == "AWS::GreengrassV2::ComponentVersion":
        name = re.search(r'ComponentName: "([^"]+)"', properties.get("InlineRecipe", ""))
        return physical_id or f"arn:aws:greengrass:{region}:{account}:components:{name[1] if name else ''}"
    if kind == "AWS::Logs::LogGroup":
        return f"arn:aws:logs:{region}:{account}:log-group:{properties.get('LogGroupName', physical_id)}"
    if kind == "AWS::Lambda::Function":
        return f"arn:aws:lambda:{region}:{account}:function:{physical_id}"
    if kind == "AWS::Lambda::Permission":
        return str(properties["FunctionName"])
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
    if kind == "AWS::GreengrassV2::Deployment":  # which is a job of AWS IoT's
        job = resource.replace(":greengrass:", ":iot:").partition(":deployments:")[0] + ":job/any"
        needed = [(action, job if action.startswith("iot:") else resource) for action, _ in needed]
    if kind == "AWS::Logs::LogGroup":  # which are listed, not looked up
        needed.append(("logs:DescribeLogGroups", resource.partition(":log-group:")[0] + ":log-group::log-stream:"))
    if kind == "AWS::IAM::Role":
        needed += [("iam:PutRolePolicy", resource)] if properties.get("Policies") and what == "create" else []
        attaching = {"create": "iam:AttachRolePolicy", "delete": "iam:DetachRolePolicy"}
        needed += [(attaching[what], resource)] if properties.get("ManagedPolicyArns") and what in attaching else []
    if what == "delete":
        return needed
    roles = [target["RoleArn"] for target in properties.get("AlertTargets", {}).values()]
    roles += [properties[PASSED[kind]]] if kind in PASSED else []
    actions = properties.get("TopicRulePayload", {}).get("Actions", [])
    roles += [each["RoleArn"] for action in actions for each in action.values() if "RoleArn" in each]
    return needed + [(action, str(role)) for role in roles for action in PASSING.get(kind, ["iam:PassRole"])]
