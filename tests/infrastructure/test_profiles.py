from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without()

from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.profiles import Profile, custom_metrics, read_profiles, reported_type  # noqa: E402

NAME = "1 to 128 of the characters a-z A-Z 0-9 : _ -"
TAG_KEY = "1 to 128 letters, digits, blanks and _ . : / = + - @, not beginning with aws:"
SHIPPED = Path(__file__).resolve().parent.parent.parent / "configs" / "security-profiles"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("profiles").mkdir()
    return Path("profiles")


def write(directory: Path, name: str, document: object) -> None:
    (directory / name).write_text(json.dumps(document), encoding="utf-8")


def problems_of(directory: Path) -> list[str]:
    with pytest.raises(DeployError) as raised:
        read_profiles(directory)
    return str(raised.value).splitlines()


def profile(*behaviors: dict[str, Any], **others: Any) -> Profile:
    document = {"securityProfileName": "p", "behaviors": list(behaviors), **others}
    return Profile("p", Path("p.json"), document)


def behavior(metric: str, **criteria: Any) -> dict[str, Any]:
    return {"name": "b", "metric": metric, "criteria": criteria}


def test_the_shipped_profiles_need_cpu_usage_only() -> None:
    profiles = read_profiles(SHIPPED)
    assert ["cpu-usage", "network-metrics", "silence"] == [profile.name for profile in profiles]
    assert {"cpu_usage": "number"} == custom_metrics(profiles, {})


def test_profiles_are_read_as_they_are_in_the_order_of_their_files(directory: Path) -> None:
    first, second = {"securityProfileName": "z"}, {"securityProfileName": "a", "tags": [{"Key": "k", "Value": "v"}]}
    write(directory, "1.json", first)
    write(directory, "2.json", second)
    write(directory, ".3.json", "an editor's")
    write(directory, "4.txt", "a note")
    expected = (Profile("z", directory / "1.json", first), Profile("a", directory / "2.json", second))
    assert expected == read_profiles(directory)


def test_a_profile_may_begin_with_a_byte_order_mark(directory: Path) -> None:
    (directory / "p.json").write_text('{"securityProfileName": "p"}', encoding="utf-8-sig")
    assert ["p"] == [profile.name for profile in read_profiles(directory)]


def test_a_directory_without_profiles_has_none(directory: Path) -> None:
    assert () == read_profiles(directory)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([], "the document must be an object, got an array of 0"),
        ({}, f"securityProfileName is missing; it must be {NAME}"),
        ({"securityProfileName": "a b"}, f'securityProfileName must be {NAME}, got "a b"'),
        ({"securityProfileName": 7}, f"securityProfileName must be {NAME}, got 7"),
        (
            {"securityProfileNam": "a"},
            'securityProfileNam is not a known key; did you mean "securityProfileName"?',
        ),
        ({"behaviors": {}}, "behaviors must be an array of at most 100 objects, got an object"),
        ({"behaviors": [1]}, "behaviors[0] must be an object, got 1"),
        ({"behaviors": [{"metric": "m"}]}, f"behaviors[0].name is missing; it must be {NAME}"),
        ({"behaviors": [{"name": "b"}]}, "behaviors[0].metric is missing; without it, a behavior says nothing"),
        ({"behaviors": [{"naem": "b"}]}, 'behaviors[0].naem is not a known key; did you mean "name"?'),
        (
            {"behaviors": [behavior("m", value={"xyz": 1})]},
            "behaviors[0].criteria.value.xyz is not a known key; "
            "there are count, cidrs, ports, number, numbers, strings",
        ),
        (
            {"behaviors": [behavior("m", durationSeconds="300")]},
            'behaviors[0].criteria.durationSeconds must be one of 300, 600, 900, 1800, 3600 (seconds), got "300"',
        ),
        (
            {"behaviors": [behavior("m", durationSeconds=True)]},
            "behaviors[0].criteria.durationSeconds must be one of 300, 600, 900, 1800, 3600 (seconds), got true",
        ),
        (
            {"behaviors": [behavior("m", value={"count": 1.5})]},
            "behaviors[0].criteria.value.count must be a whole number of at least 0, got 1.5",
        ),
        (
            {"behaviors": [behavior("m", value={"number": "7"})]},
            'behaviors[0].criteria.value.number must be a number, got "7"',
        ),
        (
            {"behaviors": [behavior("m", value={"number": float("inf")})]},
            "behaviors[0].criteria.value.number must be a number, got Infinity",
        ),
        (
            {"behaviors": [behavior("m", value={"ports": 22})]},
            "behaviors[0].criteria.value.ports must be an array of whole numbers, got 22",
        ),
        (
            {"behaviors": [behavior("m", value={"strings": ["a", None]})]},
            "behaviors[0].criteria.value.strings[1] must be a string, got null",
        ),
        (
            {"behaviors": [behavior("m") | {"suppressAlerts": 1}]},
            "behaviors[0].suppressAlerts must be true or false, got 1",
        ),
        ({"behaviors": [behavior("a/b")]}, f'behaviors[0].metric must be {NAME}, got "a/b"'),
        ({"additionalMetricsToRetainV2": [{}]}, f"additionalMetricsToRetainV2[0].metric is missing; it must be {NAME}"),
        (
            {"additionalMetricsToRetain": [""]},
            f'additionalMetricsToRetain[0] must be {NAME}, got ""',
        ),
        ({"tags": [{"Value": "v"}]}, f"tags[0].Key is missing; it must be {TAG_KEY}"),
        ({"tags": [{"Key": "k"}]}, "tags[0].Value must not be empty, which CloudFormation does not take"),
        ({"tags": [{"Key": "k", "Value": ""}]}, "tags[0].Value must not be empty, which CloudFormation does not take"),
        ({"alertTargets": {"sns": {}}}, 'alertTargets.sns is not a known key; did you mean "SNS"?'),
    ],
)
def test_what_is_wrong_is_told_with_its_place(directory: Path, document: Any, expected: str) -> None:
    if isinstance(document, dict) and document and "securityProfileNam" not in str(document):
        document = {"securityProfileName": "p", **document}
    write(directory, "p.json", document)
    assert [f"profiles/p.json: {expected}"] == problems_of(directory)


VALUES = {
    "count": ("aws:all-bytes-in", "less-than", 10**18),
    "cidrs": ("aws:source-ip-address", "in-cidr-set", ["::/0"]),
    "ports": ("aws:listening-tcp-ports", "in-port-set", [0]),
    "number": ("m", "greater-than-equals", 7.5),
    "numbers": ("n", "in-set", [1, -2.5]),
    "strings": ("s", "not-in-set", [""]),
}
ROLE = "arn:aws:iam::123456789012:role/r"


def test_all_values_that_the_api_takes_are_right(directory: Path) -> None:
    compared = [
        {"name": kind, "metric": metric, "criteria": {"comparisonOperator": operator, "value": {kind: value}}}
        for kind, (metric, operator, value) in VALUES.items()
    ]
    datapoints = {"consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}
    ranked = {"comparisonOperator": "less-than", "statisticalThreshold": {"statistic": "p90"}, "durationSeconds": 300}
    learnt = {"mlDetectionConfig": {"confidenceLevel": "HIGH"}, **datapoints}
    dimension = {"dimensionName": "d", "operator": "NOT_IN"}
    rest = {"metricDimension": dimension, "suppressAlerts": True, "exportMetric": False}
    document = {
        "securityProfileName": "p",
        "securityProfileDescription": "d",
        "behaviors": [
            *compared,
            {"name": "ranked", "metric": "m", "criteria": ranked},
            {"name": "learnt", "metric": "m", "criteria": learnt},
            {"name": "narrow", "metric": "aws:num-messages-sent", "criteria": ranked, **rest},
            {"name": "kept", "metric": "m"},
        ],
        "alertTargets": {"SNS": {"alertTargetArn": "arn:aws:sns:eu-west-1:123456789012:t", "roleArn": ROLE}},
        "additionalMetricsToRetain": ["m"],
        "additionalMetricsToRetainV2": [
            {"metric": "aws:message-byte-size", "metricDimension": dimension, "exportMetric": True}
        ],
        "tags": [{"Key": "k", "Value": "v"}],
        "metricsExportConfig": {"mqttTopic": "t", "roleArn": ROLE},
    }
    write(directory, "p.json", document)
    assert document == read_profiles(directory)[0].document


LOOKED_UP = "must not have {{resolve:... in it, which CloudFormation takes for a reference"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"securityProfileDescription": "x {{resolve:secretsmanager:prod/db:SecretString:password}}"},
            f"securityProfileDescription {LOOKED_UP}",
        ),
        ({"tags": [{"Key": "k", "Value": "{{resolve:ssm:/a:1}}"}]}, f"tags[0].Value {LOOKED_UP}"),
        (
            {"metricsExportConfig": {"mqttTopic": "{{resolve:ssm:/a}}", "roleArn": ROLE}},
            f"metricsExportConfig.mqttTopic {LOOKED_UP}",
        ),
        (
            {"behaviors": [behavior("m", comparisonOperator="in-set", value={"strings": ["a", "${Token[TOKEN.7]}"]})]},
            "behaviors[0].criteria.value.strings[1] must not have ${Token[... in it, "
            "which aws_cdk takes for a reference",
        ),
        (
            {"securityProfileDescription": "#{Token[TOKEN.7]}"},
            "securityProfileDescription must not have #{Token[... in it, which aws_cdk takes for a reference",
        ),
        (
            {"behaviors": [behavior("m", comparisonOperator="less-than", value={"number": -1.8881545897087626e289})]},
            "behaviors[0].criteria.value.number must be another number than -1.8881545897087626e+289, "
            "which aws_cdk takes for a reference",
        ),
    ],
)
def test_what_is_looked_up_when_it_is_deployed_is_refused(
    directory: Path, document: dict[str, Any], expected: str
) -> None:
    write(directory, "p.json", {"securityProfileName": "p", **document})
    assert [f"profiles/p.json: {expected}"] == problems_of(directory)


@pytest.mark.parametrize("reference", [{"Fn::Sub": "${AWS::AccountId}"}, {"Ref": "AWS::StackName"}])
def test_an_intrinsic_function_is_refused(directory: Path, reference: dict[str, str]) -> None:
    write(directory, "p.json", {"securityProfileName": "p", "securityProfileDescription": reference})
    rule = "securityProfileDescription must be at most 1000 characters of ASCII in one line, got an object"
    assert [f"profiles/p.json: {rule}"] == problems_of(directory)


def test_what_describe_security_profile_prints_can_be_deployed(directory: Path) -> None:
    printed = {"securityProfileName": "p", "version": 3, "creationDate": 1.5, "securityProfileArn": "arn:x"}
    write(directory, "p.json", printed)
    assert printed == read_profiles(directory)[0].document


def test_all_problems_of_all_profiles_are_told_at_once(directory: Path) -> None:
    write(directory, "1.json", {"behaviour": [], "tag": []})
    write(directory, "2.json", {"securityProfileName": "p"})
    write(directory, "3.json", {"securityProfileName": "p"})
    (directory / "4.json").write_text("{,}")
    (directory / "5.json").write_bytes(b'"\xff"')
    (directory / "6.json").mkdir()
    problems = problems_of(directory)
    assert ["1.json", "1.json", "1.json", "4.json", "5.json", "6.json", "3.json"] == [
        problem[9:15] for problem in problems
    ]
    assert 'profiles/3.json: securityProfileName "p" is in profiles/2.json, too' == problems[-1]
    assert problems[3].startswith("profiles/4.json: must be JSON in UTF-8: Expecting property name")
    assert "profiles/6.json: cannot be read: Is a directory" == problems[5]


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    assert [f"{tmp_path}/none: cannot be read: No such file or directory"] == problems_of(tmp_path / "none")


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"value": {"number": 1}}, "number"),
        ({"value": {"numbers": [1]}}, "number-list"),
        ({"value": {"strings": ["a"]}}, "string-list"),
        ({"value": {"cidrs": ["10.0.0.0/8"]}}, "ip-address-list"),
        ({"statisticalThreshold": {"statistic": "p90"}}, "number"),
        ({"mlDetectionConfig": {"confidenceLevel": "LOW"}}, "number"),
    ],
)
def test_a_behaviors_value_tells_the_type_of_its_metric(criteria: dict[str, Any], expected: str) -> None:
    metrics = custom_metrics([profile(behavior("m", **criteria))], {})
    assert {"cpu_usage": "number", "m": expected} == metrics


def test_the_metrics_that_aws_has_by_itself_are_not_made() -> None:
    known = profile(behavior("aws:all-bytes-in", value={"count": 1}), additionalMetricsToRetain=["aws:all-bytes-out"])
    assert {"cpu_usage": "number"} == custom_metrics([known], {})


@pytest.mark.parametrize(
    "named",
    [
        {"additionalMetricsToRetain": ["m"]},
        {"additionalMetricsToRetainV2": [{"metric": "m"}]},
        {"behaviors": [{"name": "b", "metric": "m"}]},
    ],
)
def test_a_metric_without_a_value_has_the_type_that_the_devices_report(named: dict[str, Any]) -> None:
    config = {"custom_metrics": {"m": {"type": "string-list", "command": ["list"]}}}
    assert "string-list" == custom_metrics([profile(**named)], config)["m"]


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({"source": "load_average"}, "number-list"),
        ({"type": "number", "command": ["count"]}, "number"),
        ({"command": ["count"]}, None),
        ({"type": "string-list"}, "string-list"),
        (None, None),
    ],
)
def test_a_reported_type_is_the_built_ins_or_the_commands(definition: Any, expected: str | None) -> None:
    config = {"custom_metrics": {"m": definition} if definition is not None else {}}
    assert expected == reported_type("m", config)


def test_a_command_under_a_built_ins_name_has_its_own_type() -> None:
    config = {"custom_metrics": {"uptime": {"type": "string-list", "command": ["uptime"]}}}
    assert "string-list" == reported_type("uptime", config)
    assert "number" == reported_type("uptime", {"custom_metrics": {"uptime": {}}})


def test_a_built_in_has_its_type_although_no_device_reports_it() -> None:
    retained = profile(additionalMetricsToRetain=["process_names"])
    assert "string-list" == custom_metrics([retained], {})["process_names"]


def test_a_metric_without_a_type_is_told_with_what_to_do() -> None:
    with pytest.raises(DeployError) as raised:
        custom_metrics([profile(additionalMetricsToRetain=["m", "n"])], {})
    first, second = str(raised.value).splitlines()
    assert second == first.replace(" m ", " n ")
    assert first == (
        "the custom metric m has no type: no behavior compares it with a value, and the devices' configuration "
        'does not report it (custom_metrics, with "type" one of number, number-list, string-list, ip-address-list)'
    )


def test_a_metric_with_two_types_is_refused() -> None:
    two = [profile(behavior("m", value={"number": 1})), profile(behavior("m", value={"strings": []}))]
    with pytest.raises(DeployError, match=r"m must have one type, got string-list in p.json and number in p.json"):
        custom_metrics(two, {})


def test_a_metric_that_is_reported_with_another_type_is_refused() -> None:
    config = {"custom_metrics": {"cpu_usage": {}}}
    wrong = profile(behavior("cpu_usage", value={"numbers": [1]}))
    with pytest.raises(DeployError, match=r"got number-list in p.json and number in the devices' configuration"):
        custom_metrics([wrong], config)


@pytest.mark.parametrize(("kind", "operator"), [("count", "less-than"), ("ports", "in-port-set")])
def test_a_value_that_no_custom_metric_has_is_refused(directory: Path, kind: str, operator: str) -> None:
    value = {kind: 1 if kind == "count" else [1]}
    document = {"behaviors": [behavior("m", comparisonOperator=operator, value=value)]}
    write(directory, "p.json", {"securityProfileName": "p", **document})
    rule = f"behaviors[0].criteria.value must have number or numbers or strings or cidrs for m, got {kind}"
    assert [f"profiles/p.json: {rule}"] == problems_of(directory)
