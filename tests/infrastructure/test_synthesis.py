from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("aws_cdk", "cfnlint", "cryptography")

from infrastructure.cloudwatch import GROUPS_PER_STACK  # noqa: E402
from infrastructure.description import (  # noqa: E402
    ArtifactsStack,
    ClaimStack,
    CloudWatchStack,
    DetectStack,
    EngineBucketStack,
    EngineStack,
    FleetStack,
    GreengrassStack,
    LogsStack,
    ThingsStack,
)
from infrastructure.keys import KeyStore  # noqa: E402
from infrastructure.names import Names  # noqa: E402
from infrastructure.placement import THINGS_PER_STACK  # noqa: E402
from infrastructure.profiles import Profile, custom_metrics, read_profiles  # noqa: E402
from infrastructure.sending import THING  # noqa: E402
from infrastructure.synthesis import synthesize  # noqa: E402
from release.component import NAME as COMPONENT  # noqa: E402
from release.component import recipe  # noqa: E402
from tests.infrastructure.role_alias_audit import find_reasons  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "amazon-defender-publisher"
SECOND, LONGEST = Names("second"), Names("n" * 100)
LARGEST_TEMPLATE = 51_200  # bytes, sent inline
LARGEST_POLICY = 2_048  # characters without white space
TARGETS = {
    "SNS": {"alertTargetArn": "arn:aws:sns:eu-west-1:123456789012:own", "roleArn": "arn:aws:iam::123456789012:role/own"}
}
DIMENSION = {"dimensionName": "d", "operator": "IN"}
EVERY_KEY = {
    "securityProfileName": "every-key",
    "securityProfileDescription": "all that CreateSecurityProfile takes",
    "behaviors": [
        {
            "name": "threshold",
            "metric": "aws:all-bytes-in",
            "criteria": {
                "comparisonOperator": "less-than",
                "durationSeconds": 300,
                "consecutiveDatapointsToAlarm": 2,
                "consecutiveDatapointsToClear": 3,
                "statisticalThreshold": {"statistic": "p90"},
            },
            "suppressAlerts": True,
            "exportMetric": True,
        },
        {"name": "ml", "metric": "load", "criteria": {"mlDetectionConfig": {"confidenceLevel": "HIGH"}}},
        {
            "name": "cloud",
            "metric": "aws:num-messages-sent",
            "metricDimension": DIMENSION,
            "criteria": {"comparisonOperator": "less-than", "value": {"count": 5_000_000_000}, "durationSeconds": 300},
        },
        {
            "name": "shells",
            "metric": "process_names",
            "criteria": {"comparisonOperator": "not-in-set", "value": {"strings": ["nc"]}},
        },
    ],
    "alertTargets": TARGETS,
    "additionalMetricsToRetain": ["aws:all-packets-in"],
    "additionalMetricsToRetainV2": [{"metric": "load", "metricDimension": DIMENSION, "exportMetric": False}],
    "tags": [{"Key": "team", "Value": "lab"}],
    "metricsExportConfig": {"mqttTopic": "metrics", "roleArn": "arn:aws:iam::123456789012:role/export"},
}
SHIPPED = tuple(
    profile
    for directory in ("security-profiles", "security-profiles/examples")
    for profile in read_profiles(ROOT / "configs" / directory)
)
PROFILES = (*SHIPPED, Profile("every-key", Path("e.json"), EVERY_KEY))
EXISTING = "load"  # a metric that is in the account already


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Three things' requests, not in the order of their names."""
    store = KeyStore(tmp_path_factory.mktemp("keys"))
    return {name: store.request(name) for name in ("rpi-0002", "rpi-0001", "lab:A_1")}


@pytest.fixture(scope="module")
def longest_requests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """As many things as there are in a stack, with names that are as long as they may be."""
    store = KeyStore(tmp_path_factory.mktemp("longest"))
    return {name: store.request(name) for name in (f"{i:x>128}" for i in range(THINGS_PER_STACK))}


@pytest.fixture(scope="module")
def texts(requests: dict[str, str], longest_requests: dict[str, str]) -> dict[str, str]:
    """The templates of a fleet, of another one, and of one with long names: one synthesis for all tests."""
    metrics = {name: kind for name, kind in custom_metrics(PROFILES, {}).items() if name != EXISTING}
    reordered = dict(sorted([*requests.items(), ("another", requests["rpi-0001"])]))
    descriptions = [
        FleetStack(Names()),
        ThingsStack(Names(), 1, requests),
        ThingsStack(Names(), 2, reordered),
        DetectStack(Names(), PROFILES, metrics, "ops@example.org"),
        DetectStack(SECOND, PROFILES, {}),
        FleetStack(LONGEST),
        ThingsStack(LONGEST, 9999, longest_requests),
        FleetStack(SECOND, cloudwatch=True),
        CloudWatchStack(
            SECOND, "System/RaspberryPi", (f"log-group:/fleet/{THING}:*", f"log-group:/all:log-stream:{THING}")
        ),
        CloudWatchStack(LONGEST, None, (f"log-group:/fleet/{THING}:*",)),
        ArtifactsStack(SECOND, "second-123456789012-eu-west-1"),
        deploy_to("second-cores", own=True),
        deploy_to("factory", own=False, names=LONGEST),
        ClaimStack(Names(), requests["rpi-0001"], ("pi",)),
        ClaimStack(SECOND, None, ("osx", "rpi", "sys")),
        ClaimStack(LONGEST, requests["rpi-0001"], ("osx", "rpi", "sys")),
        EngineBucketStack(SECOND, "second-engine"),
        engine_of(SECOND, alert_email="ops@example.org"),
        engine_of(LONGEST, alerts_exist=True),
        LogsStack(SECOND, 1, {"/fleet/rpi-0001": "rpi-0001", "/all": ""}, 30),
        LogsStack(LONGEST, 9999, {f"{i:x>512}": "t" * 128 for i in range(GROUPS_PER_STACK)}, None),
    ]
    return synthesize(descriptions, strict=True)


@pytest.fixture(scope="module")
def templates(texts: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {name: json.loads(text) for name, text in texts.items()}


def deploy_to(group: str, own: bool, names: Names = SECOND) -> GreengrassStack:
    """Return what brings the component to a group, with its recipe as it is built."""
    artifacts = {"com.example/0.1.0/x.zip": "ab" * 32}
    configuration = {"agent": {"publish_interval": 600}}
    return GreengrassStack(names, COMPONENT, "0.1.0", recipe("0.1.0"), artifacts, configuration, group, own)


def engine_of(names: Names, alerts_exist: bool = False, alert_email: str | None = None) -> EngineStack:
    code = ("second-engine", "code/0123.zip", "lib/connector.jar")
    return EngineStack(names, *code, "process", 1_000_000, 0, 11, 300.0, alerts_exist, alert_email)


def resources_of(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in template["Resources"].items() if each["Type"] == f"AWS::{kind}"}


def properties_of(template: dict[str, Any], kind: str, **wanted: str) -> dict[str, Any]:
    """Return the properties of the one resource of a kind that has these properties."""
    (found,) = (
        each["Properties"]
        for each in resources_of(template, kind).values()
        if wanted.items() <= each["Properties"].items()
    )
    return dict(found)


def resolve(value: Any, partition: str, region: str, account: str) -> Any:
    """Do what Fn::Sub does in CloudFormation."""
    if isinstance(value, list):
        return [resolve(item, partition, region, account) for item in value]
    if not isinstance(value, dict):
        return value
    if "Fn::Sub" not in value:
        return {key: resolve(item, partition, region, account) for key, item in value.items()}
    text = value["Fn::Sub"].replace("${AWS::Partition}", partition).replace("${AWS::Region}", region)
    return text.replace("${AWS::AccountId}", account).replace("${!", "${")


# The fleet


def test_the_policy_is_the_one_that_the_docs_show(templates: dict[str, dict[str, Any]]) -> None:
    page = (ROOT / "docs" / "how-to" / "provision-a-fleet.md").read_text()
    (expected,) = re.findall(r"```json\n(\{\n  \"Version\".*?)```", page, re.DOTALL)
    policy = properties_of(templates[f"{NAME}-fleet"], "IoT::Policy")
    document = json.loads(expected.replace("arn:aws:", "arn:aws-cn:"))
    assert document == resolve(policy["PolicyDocument"], "aws-cn", "REGION", "ACCOUNT")
    assert policy["PolicyName"] == NAME


def test_the_policys_only_wildcard_is_below_the_things_own_metrics(templates: dict[str, dict[str, Any]]) -> None:
    document = properties_of(templates[f"{NAME}-fleet"], "IoT::Policy")["PolicyDocument"]
    wild = re.findall(r'"([^"]*[*?+#][^"]*)"', json.dumps(document))
    expected = "$aws/things/${!iot:Connection.Thing.ThingName}/defender/metrics/*"
    assert [expected, expected] == [part.split("/", 1)[1] for part in wild]


def test_the_policy_fits_in_every_region(templates: dict[str, dict[str, Any]]) -> None:
    document = properties_of(templates[f"{LONGEST.prefix}-fleet"], "IoT::Policy")["PolicyDocument"]
    text = json.dumps(resolve(document, "aws-iso-b", "ap-southeast-99", "123456789012"), separators=(",", ":"))
    assert 500 < len(text) < LARGEST_POLICY


def test_the_fleets_stack_tells_the_groups_arn(templates: dict[str, dict[str, Any]]) -> None:
    template = templates[f"{NAME}-fleet"]
    ((group, resource),) = resources_of(template, "IoT::ThingGroup").items()
    assert NAME == resource["Properties"]["ThingGroupName"]
    digest = template["Metadata"]["amazon-defender-publisher"]["digest"]
    assert {"GroupArn": {"Value": {"Fn::GetAtt": [group, "Arn"]}}, "Digest": {"Value": digest}} == template["Outputs"]


# The things


def test_a_thing_has_a_certificate_the_policy_and_its_identity(
    templates: dict[str, dict[str, Any]], requests: dict[str, str]
) -> None:
    from aws_cdk.assertions import Match, Template

    stack = templates[f"{NAME}-things-1"]
    template = Template.from_json(stack)
    kinds = ("Thing", "Certificate", "PolicyPrincipalAttachment", "ThingPrincipalAttachment")
    assert {f"AWS::IoT::{kind}": 3 for kind in kinds} == count_types(stack)
    for name, request in requests.items():
        (thing,) = template.find_resources("AWS::IoT::Thing", {"Properties": {"ThingName": name}})
        certificate = thing.removesuffix("Thing") + "Certificate"
        arn = {"Fn::GetAtt": [certificate, "Arn"]}
        properties = {"CertificateSigningRequest": request, "Status": "ACTIVE"}
        assert properties == stack["Resources"][certificate]["Properties"]
        template.has_resource_properties("AWS::IoT::PolicyPrincipalAttachment", {"PolicyName": NAME, "Principal": arn})
        identity = {"ThingName": {"Ref": thing}, "Principal": arn, "ThingPrincipalType": Match.absent()}
        template.has_resource_properties("AWS::IoT::ThingPrincipalAttachment", identity)
        template.has_output(certificate, {"Value": {"Ref": certificate}})


def count_types(template: dict[str, Any]) -> dict[str, int]:
    types = [resource["Type"] for resource in template["Resources"].values()]
    return {each: types.count(each) for each in types}


def test_a_things_resources_are_the_same_whatever_else_the_stack_holds(templates: dict[str, dict[str, Any]]) -> None:
    first, second = (templates[f"{NAME}-things-{number}"] for number in (1, 2))
    assert first["Resources"].items() <= second["Resources"].items()
    ids = {name: value for name, value in first["Outputs"].items() if name != "Digest"}
    assert ids.items() <= second["Outputs"].items()
    assert 4 == len(second["Resources"]) - len(first["Resources"])


def test_a_template_is_the_same_however_things_are_ordered(requests: dict[str, str], texts: dict[str, str]) -> None:
    reordered = ThingsStack(Names(), 1, dict(reversed(requests.items())))
    assert {f"{NAME}-things-1": texts[f"{NAME}-things-1"]} == synthesize([reordered])


def test_the_ids_of_names_that_are_much_alike_differ() -> None:
    from infrastructure.constructs.device import begin_logical_ids

    names = ["a-b", "a_b", "ab", "AB", "a:b", "x" * 127, "x" * 128, "-", "_"]
    ids = [begin_logical_ids(name) for name in names]
    assert len(names) == len(set(ids))
    assert all(re.fullmatch("[A-Za-z0-9]{8,20}", each) for each in ids)
    assert begin_logical_ids("rpi-0001").startswith("rpi0001")


def test_the_largest_stack_of_things_fits_into_a_template(
    texts: dict[str, str], longest_requests: dict[str, str]
) -> None:
    text = texts[LONGEST.things_stack(9999)]
    assert THINGS_PER_STACK == len(longest_requests) == len(json.loads(text)["Outputs"]) - 1  # the digest's
    assert 0.85 * LARGEST_TEMPLATE < len(text.encode()) < LARGEST_TEMPLATE


# Detect


def test_the_metrics_are_made_with_their_types(templates: dict[str, dict[str, Any]]) -> None:
    metrics = resources_of(templates[f"{NAME}-detect"], "IoT::CustomMetric").values()
    expected = {"cpu_usage": "number", "process_names": "string-list"}
    assert expected == {each["Properties"]["MetricName"]: each["Properties"]["MetricType"] for each in metrics}
    assert {} == resources_of(templates["second-detect"], "IoT::CustomMetric")


def test_a_profile_refers_to_the_metrics_that_are_made_with_it_and_names_the_others(
    templates: dict[str, dict[str, Any]],
) -> None:
    names = {id: each["Properties"]["MetricName"] for id, each in metrics_of(templates[f"{NAME}-detect"]).items()}
    for profile in PROFILES:
        behaviors = [behavior["metric"] for behavior in profile.document.get("behaviors", [])]
        (first, second) = (
            [
                behavior["Metric"]
                for behavior in properties_of(templates[stack], "IoT::SecurityProfile", **named).get("Behaviors", [])
            ]
            for stack, named in (
                (f"{NAME}-detect", {"SecurityProfileName": profile.name}),
                ("second-detect", {"SecurityProfileName": f"second-{profile.name}"}),
            )
        )
        made = [metric for metric in first if isinstance(metric, dict)]
        assert behaviors == second
        assert behaviors == [names[metric["Ref"]] if isinstance(metric, dict) else metric for metric in first]
        assert [metric for metric in behaviors if metric in names.values()] == [names[each["Ref"]] for each in made]


def metrics_of(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return resources_of(template, "IoT::CustomMetric")


def test_every_key_of_a_profile_reaches_cloudformation(templates: dict[str, dict[str, Any]]) -> None:
    profile = properties_of(templates["second-detect"], "IoT::SecurityProfile", SecurityProfileName="second-every-key")
    expected = {
        "SecurityProfileName": "second-every-key",
        "SecurityProfileDescription": "all that CreateSecurityProfile takes",
        "Behaviors": [
            {
                "Name": "threshold",
                "Metric": "aws:all-bytes-in",
                "Criteria": {
                    "ComparisonOperator": "less-than",
                    "DurationSeconds": 300,
                    "ConsecutiveDatapointsToAlarm": 2,
                    "ConsecutiveDatapointsToClear": 3,
                    "StatisticalThreshold": {"Statistic": "p90"},
                },
                "SuppressAlerts": True,
                "ExportMetric": True,
            },
            {"Name": "ml", "Metric": "load", "Criteria": {"MlDetectionConfig": {"ConfidenceLevel": "HIGH"}}},
            {
                "Name": "cloud",
                "Metric": "aws:num-messages-sent",
                "MetricDimension": {"DimensionName": "d", "Operator": "IN"},
                "Criteria": {
                    "ComparisonOperator": "less-than",
                    "Value": {"Count": "5000000000"},
                    "DurationSeconds": 300,
                },
            },
            {
                "Name": "shells",
                "Metric": "process_names",
                "Criteria": {"ComparisonOperator": "not-in-set", "Value": {"Strings": ["nc"]}},
            },
        ],
        "AlertTargets": {
            "SNS": {"AlertTargetArn": TARGETS["SNS"]["alertTargetArn"], "RoleArn": TARGETS["SNS"]["roleArn"]}
        },
        "AdditionalMetricsToRetainV2": [
            {"Metric": "aws:all-packets-in"},
            {
                "Metric": "load",
                "MetricDimension": {"DimensionName": "d", "Operator": "IN"},
                "ExportMetric": False,
            },
        ],
        "MetricsExportConfig": {"MqttTopic": "metrics", "RoleArn": "arn:aws:iam::123456789012:role/export"},
        "Tags": [
            {"Key": NAME, "Value": "second"},
            {"Key": "team", "Value": "lab"},
        ],
        "TargetArns": ["arn:aws:iot:eu-west-1:1:thinggroup/second"],
    }
    assert expected == resolve(profile, "aws", "eu-west-1", "1")


def test_the_values_of_the_shipped_profiles_are_theirs(templates: dict[str, dict[str, Any]]) -> None:
    for profile in SHIPPED:
        made = properties_of(templates[f"{NAME}-detect"], "IoT::SecurityProfile", SecurityProfileName=profile.name)
        for behavior, resource in zip(profile.document.get("behaviors", []), made.get("Behaviors", []), strict=True):
            ((kind, value),) = behavior["criteria"]["value"].items()
            expected = str(value) if kind == "count" else value
            assert {kind.capitalize(): expected} == resource["Criteria"]["Value"]


def test_alerts_go_to_the_topic_by_a_role_that_can_do_nothing_else(templates: dict[str, dict[str, Any]]) -> None:
    template = templates[f"{NAME}-detect"]
    ((topic, _),) = resources_of(template, "SNS::Topic").items()
    ((role, _),) = resources_of(template, "IAM::Role").items()
    assert f"{NAME}-alerts" == properties_of(template, "SNS::Topic")["TopicName"]
    subscription = {"Protocol": "email", "Endpoint": "ops@example.org", "TopicArn": {"Ref": topic}}
    assert subscription == properties_of(template, "SNS::Subscription")
    trusted = {"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}}
    may = {"Action": "sns:Publish", "Effect": "Allow", "Resource": {"Ref": topic}}
    properties = properties_of(template, "IAM::Role")
    assert [trusted] == properties["AssumeRolePolicyDocument"]["Statement"]
    assert [[may]] == [policy["PolicyDocument"]["Statement"] for policy in properties["Policies"]]
    assert not {"ManagedPolicyArns", "RoleName"} & properties.keys()
    assert {} == resources_of(template, "IAM::Policy")
    targets = {"SNS": {"AlertTargetArn": {"Ref": topic}, "RoleArn": {"Fn::GetAtt": [role, "Arn"]}}}
    for profile in SHIPPED:
        named = properties_of(template, "IoT::SecurityProfile", SecurityProfileName=profile.name)
        assert targets == named["AlertTargets"]


def test_a_profiles_own_alert_targets_stay(templates: dict[str, dict[str, Any]]) -> None:
    own = properties_of(templates[f"{NAME}-detect"], "IoT::SecurityProfile", SecurityProfileName="every-key")
    assert TARGETS["SNS"]["alertTargetArn"] == own["AlertTargets"]["SNS"]["AlertTargetArn"]


def test_without_an_address_there_are_no_alerts(templates: dict[str, dict[str, Any]]) -> None:
    assert {"AWS::IoT::SecurityProfile": len(PROFILES)} == count_types(templates["second-detect"])
    shipped = properties_of(templates["second-detect"], "IoT::SecurityProfile", SecurityProfileName="second-cpu-usage")
    assert "AlertTargets" not in shipped


def test_metrics_whose_names_are_much_alike_can_be_in_one_stack() -> None:
    metrics = dict.fromkeys(["a-b", "a_b", "ab"], "number")
    template = json.loads(synthesize([DetectStack(Names(), (), metrics)])[f"{NAME}-detect"])
    assert {"AWS::IoT::CustomMetric": 3} == count_types(template)


# The engine

FLINK = "AWS::KinesisAnalyticsV2::Application"


def allowed_to(template: dict[str, Any], service: str) -> dict[str, str]:
    """Return what the role of a service may do: each action with the end of what it may be done to."""
    (role,) = (
        each
        for each in resources_of(template, "IAM::Role").values()
        if service == each["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"]
    )
    trust = role["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]
    assert {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}} == trust["Condition"]
    found = {}
    for statement in role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        found |= {action: json.dumps(statement["Resource"]) for action in actions}
    return found


def test_the_rule_can_put_reports_into_the_stream_and_what_failed_into_the_log(
    templates: dict[str, dict[str, Any]],
) -> None:
    template = templates["second-engine"]
    may = allowed_to(template, "iot.amazonaws.com")
    assert {"kinesis:PutRecord", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"} == set(may)
    assert all('"Fn::GetAtt"' in resource for resource in may.values())
    payload = properties_of(template, "IoT::TopicRule", RuleName="second_engine")["TopicRulePayload"]
    assert ("${topic(3)}", False) == (payload["Actions"][0]["Kinesis"]["PartitionKey"], payload["RuleDisabled"])
    assert "CloudwatchLogs" in payload["ErrorAction"]


def test_the_application_can_read_its_stream_and_its_bucket_and_tell_of_alarms(
    templates: dict[str, dict[str, Any]],
) -> None:
    may = allowed_to(templates["second-engine"], "kinesisanalytics.amazonaws.com")
    writes = {action for action in may if not action.partition(":")[2].startswith(("Get", "List", "Describe"))}
    assert {"sns:Publish", "dynamodb:PutItem", "logs:PutLogEvents"} == writes
    assert {"logs:DescribeLogGroups"} == {action for action, where in may.items() if where.endswith(':*"}')}
    (application,) = resources_of(templates["second-engine"], FLINK.removeprefix("AWS::")).values()
    assert "FLINK-2_2" == application["Properties"]["RuntimeEnvironment"]
    flink = application["Properties"]["ApplicationConfiguration"]["FlinkApplicationConfiguration"]
    assert (11, 1) == (
        flink["ParallelismConfiguration"]["Parallelism"], flink["ParallelismConfiguration"]["ParallelismPerKPU"]
    )  # fmt: skip


def test_alarms_go_to_a_topic_of_the_engines_own_only_where_there_is_no_other(
    templates: dict[str, dict[str, Any]],
) -> None:
    longest = templates[f"{LONGEST.prefix}-engine"]
    assert ({}, True) == (resources_of(longest, "SNS::Topic"), f":{LONGEST.topic}" in json.dumps(longest))
    assert 1 == len(resources_of(templates["second-engine"], "SNS::Subscription"))


# All stacks


def test_what_can_have_tags_tells_its_fleet(templates: dict[str, dict[str, Any]]) -> None:
    tagged = {"IoT::Policy", "IoT::ThingGroup", "IoT::CustomMetric", "IoT::SecurityProfile", "SNS::Topic", "IAM::Role"}
    tagged |= {"IoT::RoleAlias", "Logs::LogGroup"}
    tagged |= {"IoT::ProvisioningTemplate", "IoT::TopicRule", "Lambda::Function", "DynamoDB::Table"}
    stacks = [(stack, NAME) for stack in ("fleet", "detect", "things-1", "claim")]
    for stack, fleet in (*stacks, ("cloudwatch", "second"), ("logs-1", "second")):
        for resource in templates[f"{fleet}-{stack}"]["Resources"].values():
            has_tag = {"Key": NAME, "Value": fleet} in resource["Properties"].get("Tags", [])
            assert (resource["Type"].removeprefix("AWS::") in tagged) == has_tag, resource["Type"]


def test_a_template_has_no_white_space_and_tells_the_digest_of_its_description(
    texts: dict[str, str], requests: dict[str, str]
) -> None:
    for text in texts.values():
        assert text == json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)
    description = ThingsStack(Names(), 1, requests)
    metadata = json.loads(texts[description.stack_name])["Metadata"]
    assert {NAME: {"digest": description.digest}} == metadata


def test_nothing_of_the_cdks_own_is_in_a_template(templates: dict[str, dict[str, Any]]) -> None:
    assert all(template.keys() <= {"Metadata", "Resources", "Outputs"} for template in templates.values())
    assert not re.search("CDK::|CDKMetadata|aws:cdk|BootstrapVersion", json.dumps(templates))
    resources = [each for template in templates.values() for each in template["Resources"].values()]
    kinds = {each["Type"] for each in resources if "Metadata" in each}  # whose a group is, what a version is made of
    assert {"AWS::Logs::LogGroup", "AWS::GreengrassV2::ComponentVersion", FLINK} == kinds
    assert {NAME} == {key for each in resources for key in each.get("Metadata", {})}


@pytest.mark.slow
def test_cfn_lint_finds_nothing_but_what_it_does_not_know(texts: dict[str, str]) -> None:
    from cfnlint.api import lint

    stacks = [f"{NAME}-{stack}" for stack in ("fleet", "things-1", "detect", "claim")]
    stacks += [f"second-{stack}" for stack in ("fleet", "cloudwatch", "logs-1", "artifacts", "greengrass")]
    stacks += [f"second-{stack}" for stack in ("engine-bucket", "engine")]
    found = [str(match) for stack in stacks for match in lint(texts[stack])]
    # Device Defender takes IPv6 as well: its API's pattern for a CIDR has a colon.
    assert [] == [message for message in found if "is not a 'ipv4-network'" not in message]


def test_the_validator_refuses_what_cloudformation_would(texts: dict[str, str]) -> None:
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        synthesize([DetectStack(Names(), (), {"cpu_usage": "nunber"})], strict=True)


def test_a_synthesis_is_silent_and_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "from infrastructure.description import FleetStack; from infrastructure.names import Names\n"
        "from infrastructure.synthesis import synthesize\n"
        "assert ['amazon-defender-publisher-fleet'] == list(synthesize([FleetStack(Names())]))"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JSII", "CDK"))}
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        env={**kept, "TMPDIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert [] == list(tmp_path.iterdir())


def test_the_digest_follows_whatever_a_template_depends_on(requests: dict[str, str]) -> None:
    description = ThingsStack(Names(), 1, requests)
    changed = {**requests, "rpi-0001": requests["rpi-0002"]}
    assert description.digest == dataclasses.replace(description, requests=dict(reversed(requests.items()))).digest
    assert description.digest != dataclasses.replace(description, requests=changed).digest


# CloudWatch


def role_policy(template: dict[str, Any]) -> Any:
    (policy,) = properties_of(template, "IAM::Role")["Policies"]
    return resolve(policy["PolicyDocument"], "aws", "REGION", "ACCOUNT")


def test_only_the_credentials_provider_may_assume_the_role_and_only_for_its_alias(
    templates: dict[str, dict[str, Any]],
) -> None:
    document = properties_of(templates["second-cloudwatch"], "IAM::Role")["AssumeRolePolicyDocument"]
    (statement,) = resolve(document, "aws", "REGION", "ACCOUNT")["Statement"]
    assert {
        "Effect": "Allow",
        "Principal": {"Service": "credentials.iot.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
            "ArnLike": {"aws:SourceArn": "arn:aws:iot:REGION:ACCOUNT:rolealias/second"},
        },
    } == statement
    alias = properties_of(templates["second-cloudwatch"], "IoT::RoleAlias")
    assert ("second", 3600) == (alias["RoleAlias"], alias["CredentialDurationSeconds"])


def test_the_role_sends_to_the_things_own_and_to_one_namespace(templates: dict[str, dict[str, Any]]) -> None:
    put, send = role_policy(templates["second-cloudwatch"])["Statement"]
    assert "cloudwatch:PutMetricData" == put["Action"]
    assert {"StringEquals": {"cloudwatch:namespace": "System/RaspberryPi"}} == put["Condition"]
    assert ["logs:CreateLogStream", "logs:GetLogEvents", "logs:PutLogEvents"] == send["Action"]
    start = "arn:aws:logs:REGION:ACCOUNT:log-group:"
    assert [f"{start}/fleet/{THING}:*", f"{start}/all:log-stream:{THING}"] == send["Resource"]
    (only,) = role_policy(templates[f"{LONGEST.prefix}-cloudwatch"])["Statement"]
    assert f"{start}/fleet/{THING}:*" == only["Resource"]


def test_device_defenders_audit_finds_nothing_in_the_role(templates: dict[str, dict[str, Any]]) -> None:
    for name in ("second-cloudwatch", f"{LONGEST.prefix}-cloudwatch"):
        assert set() == find_reasons(role_policy(templates[name]))


@pytest.mark.parametrize(
    ("action", "resource", "reason"),
    [
        ("logs:*", "*", "ALLOWS_BROAD_ACCESS_TO_USED_SERVICES"),
        ("*", "*", "ALLOWS_BROAD_ACCESS_TO_USED_SERVICES"),
        ("iam:GetRole", "arn:aws:iam::1:role/own", "ALLOWS_ACCESS_TO_SECURITY_AUDITING_SERVICES"),
        ("iot:Publish", "arn:aws:iot:r:1:topic/*", "ALLOWS_BROAD_ACCESS_TO_IOT_DATA_PLANE_ACTIONS"),
        ("iot:DescribeThing", "*", "ALLOWS_BROAD_ACCESS_TO_IOT_THING_ADMIN_READ_ACTIONS"),
        ("iot:UpdateThing", f"arn:aws:iot:r:1:thing/{THING}", "ALLOWS_ACCESS_TO_IOT_THING_ADMIN_WRITE_ACTIONS"),
        ("iot:CreatePolicy", "*", "ALLOWS_ACCESS_TO_IOT_NON_THING_ADMIN_ACTIONS"),
        ("iot:Publish", f"arn:aws:iot:r:1:topic/{THING}/*", None),
    ],
)
def test_the_audit_would_find_what_it_looks_for(action: str, resource: str, reason: str | None) -> None:
    document = {"Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]}
    assert (reason in find_reasons(document)) if reason else set() == find_reasons(document)


def test_the_policy_of_devices_lets_them_assume_the_fleets_role_and_no_other(
    templates: dict[str, dict[str, Any]],
) -> None:
    allowed = [
        statement
        for name in ("second-fleet", f"{NAME}-fleet")
        for statement in properties_of(templates[name], "IoT::Policy")["PolicyDocument"]["Statement"]
        if "AssumeRole" in str(statement)
    ]
    (statement,) = resolve(allowed, "aws", "REGION", "ACCOUNT")
    arn = "arn:aws:iot:REGION:ACCOUNT:rolealias/second"
    assert {"Effect": "Allow", "Action": "iot:AssumeRoleWithCertificate", "Resource": arn} == statement


def test_a_log_group_has_its_retention_and_tells_whose_it_is(templates: dict[str, dict[str, Any]]) -> None:
    groups = resources_of(templates["second-logs-1"], "Logs::LogGroup").values()
    found = {each["Properties"]["LogGroupName"]: each for each in groups}
    assert {"/fleet/rpi-0001": "rpi-0001", "/all": ""} == {key: each["Metadata"][NAME] for key, each in found.items()}
    assert [30, 30] == [each["Properties"]["RetentionInDays"] for each in found.values()]
    longest = resources_of(templates[f"{LONGEST.prefix}-logs-9999"], "Logs::LogGroup")
    assert GROUPS_PER_STACK == len(longest)
    assert all("RetentionInDays" not in each["Properties"] for each in longest.values())


# Greengrass


def test_the_component_is_deployed_to_a_group_that_is_made_or_to_one_that_is_there(
    templates: dict[str, dict[str, Any]],
) -> None:
    own, other = (templates[f"{names.prefix}-greengrass"] for names in (SECOND, LONGEST))
    (group,) = resources_of(own, "IoT::ThingGroup")
    assert {"Fn::GetAtt": [group, "Arn"]} == properties_of(own, "GreengrassV2::Deployment")["TargetArn"]
    assert "second-cores" == own["Resources"][group]["Properties"]["ThingGroupName"]
    target = resolve(properties_of(other, "GreengrassV2::Deployment")["TargetArn"], "aws-cn", "REGION", "ACCOUNT")
    assert "arn:aws-cn:iot:REGION:ACCOUNT:thinggroup/factory" == target
    assert {} == resources_of(other, "IoT::ThingGroup")


def test_a_deployment_has_the_version_that_is_made_and_resets_what_is_no_longer_configured(
    templates: dict[str, dict[str, Any]],
) -> None:
    template = templates["second-greengrass"]
    (version,) = resources_of(template, "GreengrassV2::ComponentVersion")
    assert recipe("0.1.0") == template["Resources"][version]["Properties"]["InlineRecipe"]
    deployment = properties_of(template, "GreengrassV2::Deployment")
    (name,) = deployment["Components"]
    what = deployment["Components"][name]
    assert (COMPONENT, {"Fn::GetAtt": [version, "ComponentVersion"]}) == (name, what["ComponentVersion"])
    update = what["ConfigurationUpdate"]
    assert ([""], {"agent": {"publish_interval": 600}}) == (update["Reset"], json.loads(update["Merge"]))
    noted = template["Resources"][version]["Metadata"][NAME]
    assert {"version": "0.1.0", "artifacts": {"com.example/0.1.0/x.zip": "ab" * 32}} == noted


def test_nothing_of_the_bucket_is_ever_public(templates: dict[str, dict[str, Any]]) -> None:
    bucket = properties_of(templates["second-artifacts"], "S3::Bucket")
    assert "second-123456789012-eu-west-1" == bucket["BucketName"]
    assert [True] * 4 == list(bucket["PublicAccessBlockConfiguration"].values())
    assert "BucketOwnerEnforced" == bucket["OwnershipControls"]["Rules"][0]["ObjectOwnership"]


# The claim


def policy_of(template: dict[str, Any], name: str) -> dict[str, list[str]]:
    """Return what a policy allows, in no particular account: action to resources."""
    document = properties_of(template, "IoT::Policy", PolicyName=name)["PolicyDocument"]
    assert {"Allow"} == {each["Effect"] for each in document["Statement"]}
    resolved = resolve(document, "aws", "R", "A")["Statement"]
    wanted = {each["Action"]: each["Resource"] for each in resolved}
    return {
        action: [each.removeprefix("arn:aws:iot:R:A:") for each in ([found] if isinstance(found, str) else found)]
        for action, found in wanted.items()
    }


def test_a_claim_can_ask_for_a_certificate_and_register_it_and_nothing_else(
    templates: dict[str, dict[str, Any]],
) -> None:
    csr, register = "$aws/certificates/create-from-csr/json", f"$aws/provisioning-templates/{NAME}/provision/json"
    assert {
        "iot:Connect": ["client/claim-*"],
        "iot:Publish": [f"topic/{csr}", f"topic/{register}"],
        "iot:Receive": [f"topic/{csr}/*", f"topic/{register}/*"],
        "iot:Subscribe": [f"topicfilter/{csr}/*", f"topicfilter/{register}/*"],
    } == policy_of(templates[f"{NAME}-claim"], f"{NAME}-claim")


def test_a_device_that_provisioned_itself_can_ask_for_another_certificate_and_hear_the_wish(
    templates: dict[str, dict[str, Any]],
) -> None:
    csr, register = (
        "$aws/certificates/create-from-csr/json",
        f"$aws/provisioning-templates/{NAME}-rotate/provision/json",
    )
    shadow = "$aws/things/${iot:Connection.Thing.ThingName}/shadow/name/rotation/*"
    assert {
        "iot:Publish": [f"topic/{csr}", f"topic/{register}", f"topic/{shadow}"],
        "iot:Receive": [f"topic/{csr}/*", f"topic/{register}/*", f"topic/{shadow}"],
        "iot:Subscribe": [f"topicfilter/{csr}/*", f"topicfilter/{register}/*", f"topicfilter/{shadow}"],
    } == policy_of(templates[f"{NAME}-claim"], f"{NAME}-rotate")


def test_what_the_claims_stack_holds_is_within_awss_limits(
    texts: dict[str, str], templates: dict[str, dict[str, Any]]
) -> None:
    template = templates[LONGEST.claim_stack]
    assert 10_000 < len(texts[LONGEST.claim_stack].encode()) < LARGEST_TEMPLATE
    for policy in resources_of(template, "IoT::Policy").values():
        document = resolve(policy["Properties"]["PolicyDocument"], "aws-iso-b", "ap-southeast-99", "123456789012")
        assert 500 < len(json.dumps(document, separators=(",", ":"))) < LARGEST_POLICY
    for each in resources_of(template, "IoT::ProvisioningTemplate").values():
        assert len(each["Properties"]["TemplateBody"]) < 10_240
        assert len(each["Properties"]["TemplateName"]) <= 36
    for each in resources_of(template, "Lambda::Function").values():
        assert len(each["Properties"]["Code"]["ZipFile"].encode()) <= 4_096


def test_a_device_becomes_a_thing_of_the_group_with_the_fleets_policies(templates: dict[str, dict[str, Any]]) -> None:
    found = properties_of(templates[f"{NAME}-claim"], "IoT::ProvisioningTemplate", TemplateName=NAME)
    body = json.loads(found["TemplateBody"])
    assert {"ThingName", "SerialNumber", "AWS::IoT::Certificate::Id"} == set(body["Parameters"])
    thing = body["Resources"]["thing"]
    assert ([NAME], {"ThingGroups": "MERGE"}) == (thing["Properties"]["ThingGroups"], thing["OverrideSettings"])
    policies = {each["Properties"]["PolicyName"] for each in body["Resources"].values() if "Policy" in each["Type"]}
    assert {NAME, f"{NAME}-rotate"} == policies
    assert "Active" == body["Resources"]["certificate"]["Properties"]["Status"]


def test_the_rule_of_rotations_says_who_connects_and_hears_only_who_speaks_of_his_own_certificate(
    templates: dict[str, dict[str, Any]],
) -> None:
    found = properties_of(templates[f"{NAME}-claim"], "IoT::TopicRule", RuleName="amazon_defender_publisher_rotated")
    said = "SELECT topic(3) AS thing, principal() AS principal, state.reported.certificateId AS certificateId"
    where = "FROM '$aws/things/+/shadow/name/rotation/update' WHERE state.reported.certificateId = principal()"
    assert f"{said} {where}" == found["TopicRulePayload"]["Sql"]


def test_only_its_template_or_rule_may_call_a_function(templates: dict[str, dict[str, Any]]) -> None:
    template = templates[f"{NAME}-claim"]
    permissions = [each["Properties"] for each in resources_of(template, "Lambda::Permission").values()]
    callers = sorted(resolve(each["SourceArn"], "aws", "R", "A").rpartition(":")[2] for each in permissions)
    rule = "rule/amazon_defender_publisher_rotated"
    assert [f"provisioningtemplate/{NAME}", f"provisioningtemplate/{NAME}-rotate", rule] == callers
    assert {"iot.amazonaws.com"} == {each["Principal"] for each in permissions}


def test_without_a_claim_in_force_there_is_no_certificate_and_all_else_stays(
    templates: dict[str, dict[str, Any]],
) -> None:
    ended = templates["second-claim"]
    assert {} == resources_of(ended, "IoT::Certificate") == resources_of(ended, "IoT::PolicyPrincipalAttachment")
    other = count_types(templates[f"{NAME}-claim"])
    assert {**other, **count_types(ended)} == {**other, **{kind: other[kind] for kind in count_types(ended)}}
