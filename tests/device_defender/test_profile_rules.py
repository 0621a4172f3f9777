"""All that AWS does not take of a security profile is said at once, with its place and, of files, with its file."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_defender.metrics import CLOUD_SIDE
from device_defender.profile_rules import find_profile_problems, read_documents
from device_defender.validation import Invalid
from tests.examples import examples

ROLE = "arn:aws:iam::123456789012:role/defender"
COUNT = {"comparisonOperator": "less-than", "value": {"count": 5}, "durationSeconds": 300}
GOOD: dict[str, Any] = {
    "securityProfileName": "gateway:1_a-B",
    "securityProfileDescription": "What gateways do - and nothing else",
    "behaviors": [
        {"name": "bytes", "metric": "aws:all-bytes-out", "criteria": COUNT, "suppressAlerts": True},
        {
            "name": "ports",
            "metric": "aws:listening-tcp-ports",
            "criteria": {
                "comparisonOperator": "in-port-set",
                "value": {"ports": [22, 0, 65535]},
                "consecutiveDatapointsToAlarm": 10,
                "consecutiveDatapointsToClear": 2,
            },
        },
        {
            "name": "rank",
            "metric": "cpu_usage",
            "criteria": {
                "comparisonOperator": "less-than-equals",
                "statisticalThreshold": {"statistic": "p99.9"},
                "durationSeconds": 3600,
            },
            "exportMetric": True,
        },
        {
            "name": "peers",
            "metric": "neighbours",
            "criteria": {
                "comparisonOperator": "not-in-cidr-set",
                "value": {"cidrs": ["10.0.0.0/8", "2001:db8::/32", "10.0.0.1/8", "::1"]},
            },
        },
        {
            "name": "sizes",
            "metric": "sizes",
            "criteria": {"comparisonOperator": "in-set", "value": {"numbers": [1, -2.5]}},
        },
        {
            "name": "programs",
            "metric": "processes",
            "criteria": {"comparisonOperator": "not-in-set", "value": {"strings": ["nc"]}},
        },
    ],
    "alertTargets": {"SNS": {"alertTargetArn": "arn:aws:sns:eu-west-1:123456789012:alarms", "roleArn": ROLE}},
    "additionalMetricsToRetain": ["aws:all-bytes-in"],
    "additionalMetricsToRetainV2": [{"metric": "load_average", "exportMetric": False}, {"metric": "aws:all-bytes-in"}],
    "tags": [{"Key": "team", "Value": "iot"}, {"Key": "empty"}],
    "metricsExportConfig": {"mqttTopic": "defender/export", "roleArn": ROLE},
}
MISSING = object()
BYTES, PORTS, RANK, PEERS = (("behaviors", index) for index in range(4))
CRITERIA = (*BYTES, "criteria")
NAME_RULE = "must be 1 to 128 of the characters a-z A-Z 0-9 : _ -, got"
BAD = [
    (("securityProfileName",), MISSING, "securityProfileName is missing"),
    (("securityProfileName",), "a b", f'securityProfileName {NAME_RULE} "a b"'),
    (("securityProfileName",), "", f'securityProfileName {NAME_RULE} ""'),
    (("securityProfileName",), 7, f"securityProfileName {NAME_RULE} 7"),
    (
        ("securityProfileDescription",),
        "a\nb",
        'securityProfileDescription must be at most 1000 characters of ASCII in one line, got "a\\nb"',
    ),
    (("behaviours",), [], 'behaviours is not a known key; did you mean "behaviors"?'),
    (("behaviors",), {}, "behaviors must be an array of at most 100 objects, got an object"),
    (PORTS, "ports", 'behaviors[1] must be an object, got "ports"'),
    ((*BYTES, "name"), MISSING, "behaviors[0].name is missing"),
    ((*BYTES, "name"), "a" * 129, f'behaviors[0].name {NAME_RULE} "{"a" * 60}...'),
    ((*PORTS, "name"), "bytes", 'behaviors[1].name must be unique, got "bytes"'),
    ((*BYTES, "metric"), MISSING, "behaviors[0].metric is missing"),
    ((*RANK, "metric"), "cpu usage", f'behaviors[2].metric {NAME_RULE} "cpu usage"'),
    (
        (*BYTES, "metric"),
        "aws:all-byte-out",
        'behaviors[0].metric must be a metric that AWS has or a custom one, got "aws:all-byte-out"; '
        'did you mean "aws:all-bytes-out"?',
    ),
    ((*BYTES, "criteria"), [], "behaviors[0].criteria must be an object, got an array of 0"),
    (
        (*BYTES, "metricDimension"),
        {"dimensionName": "d"},
        "behaviors[0].metricDimension cannot be used with aws:all-bytes-out, only with aws:message-byte-size, "
        "aws:num-authorization-failures, aws:num-messages-received, aws:num-messages-sent, aws:source-ip-address",
    ),
    ((*BYTES, "suppressAlerts"), 1, "behaviors[0].suppressAlerts must be true or false, got 1"),
    ((*BYTES, "exportMetric"), "true", 'behaviors[0].exportMetric must be true or false, got "true"'),
    ((*BYTES, "suppressAlert"), True, 'behaviors[0].suppressAlert is not a known key; did you mean "suppressAlerts"?'),
    ((*CRITERIA, "comparisonOperator"), MISSING, "behaviors[0].criteria.comparisonOperator is missing"),
    (
        (*CRITERIA, "comparisonOperator"),
        "in-port-set",
        "behaviors[0].criteria.comparisonOperator must be one of less-than, less-than-equals, greater-than, "
        'greater-than-equals for count, got "in-port-set"',
    ),
    (
        (*CRITERIA, "comparisonOperator"),
        "<",
        "behaviors[0].criteria.comparisonOperator must be one of greater-than, greater-than-equals, in-cidr-set, "
        "in-port-set, in-set, less-than, less-than-equals, not-in-cidr-set, not-in-port-set, not-in-set, "
        'got "<"',
    ),
    ((*CRITERIA, "value"), 5, "behaviors[0].criteria.value must be an object, got 5"),
    (
        (*CRITERIA, "value"),
        {},
        "behaviors[0].criteria.value must have exactly one of count, cidrs, ports, number, numbers, strings, "
        "got none of them",
    ),
    (
        (*CRITERIA, "value"),
        {"count": 1, "number": 1},
        "behaviors[0].criteria.value must have exactly one of count, cidrs, ports, number, numbers, strings, "
        "got count and number",
    ),
    (
        (*CRITERIA, "value"),
        {"number": 1},
        "behaviors[0].criteria.value must have count for aws:all-bytes-out, got number",
    ),
    (
        (*CRITERIA, "value", "count"),
        -1,
        "behaviors[0].criteria.value.count must be a whole number of at least 0, got -1",
    ),
    (
        (*CRITERIA, "value", "count"),
        5.0,
        "behaviors[0].criteria.value.count must be a whole number of at least 0, got 5.0",
    ),
    (
        (*CRITERIA, "value", "count"),
        "5",
        'behaviors[0].criteria.value.count must be a whole number of at least 0, got "5"',
    ),
    (
        (*CRITERIA, "value", "count"),
        True,
        "behaviors[0].criteria.value.count must be a whole number of at least 0, got true",
    ),
    (
        (*CRITERIA, "statisticalThreshold"),
        {"statistic": "p50"},
        "behaviors[0].criteria must have either value or statisticalThreshold, got both",
    ),
    (
        (*CRITERIA, "value"),
        MISSING,
        "behaviors[0].criteria must have either value or statisticalThreshold, got neither",
    ),
    (
        (*CRITERIA, "durationSeconds"),
        301,
        "behaviors[0].criteria.durationSeconds must be one of 300, 600, 900, 1800, 3600 (seconds), got 301",
    ),
    (
        (*CRITERIA, "consecutiveDatapointsToAlarm"),
        0,
        "behaviors[0].criteria.consecutiveDatapointsToAlarm must be a whole number from 1 to 10, got 0",
    ),
    (
        (*CRITERIA, "consecutiveDatapointsToClear"),
        11,
        "behaviors[0].criteria.consecutiveDatapointsToClear must be a whole number from 1 to 10, got 11",
    ),
    (
        (*PORTS, "criteria", "durationSeconds"),
        300,
        "behaviors[1].criteria.durationSeconds cannot be used with ports: lists have no duration",
    ),
    (
        (*PORTS, "criteria", "value", "ports", 1),
        65536,
        "behaviors[1].criteria.value.ports[1] must be a whole number from 0 to 65535, got 65536",
    ),
    (
        (*PORTS, "criteria", "value", "ports", 0),
        "22",
        'behaviors[1].criteria.value.ports[0] must be a whole number from 0 to 65535, got "22"',
    ),
    (
        (*PORTS, "criteria", "value", "ports"),
        22,
        "behaviors[1].criteria.value.ports must be an array of whole numbers, got 22",
    ),
    (
        (*PORTS, "criteria", "value"),
        {"count": 1},
        "behaviors[1].criteria.value must have ports for aws:listening-tcp-ports, got count",
    ),
    (
        (*RANK, "criteria", "durationSeconds"),
        MISSING,
        "behaviors[2].criteria.durationSeconds is missing, which a statisticalThreshold needs",
    ),
    (
        (*RANK, "criteria", "statisticalThreshold", "statistic"),
        "p95",
        "behaviors[2].criteria.statisticalThreshold.statistic must be one of p0, p0.01, p0.1, p1, p10, p50, p90, p99, "
        'p99.9, p99.99, p100, got "p95"',
    ),
    (
        (*RANK, "criteria", "statisticalThreshold"),
        {},
        "behaviors[2].criteria.statisticalThreshold.statistic is missing",
    ),
    (
        (*RANK, "criteria", "comparisonOperator"),
        "in-set",
        "behaviors[2].criteria.comparisonOperator must be one of less-than, less-than-equals, greater-than, "
        'greater-than-equals for a statisticalThreshold, got "in-set"',
    ),
    (
        (*RANK, "metric"),
        "aws:listening-udp-ports",
        "behaviors[2].criteria.statisticalThreshold cannot be used with aws:listening-udp-ports, which is a list",
    ),
    (
        (*PEERS, "criteria", "value"),
        {"count": 1},
        "behaviors[3].criteria.value must have number or numbers or strings or cidrs for neighbours, got count",
    ),
    (
        (*PEERS, "criteria", "value", "cidrs", 0),
        "10.0.0.0/33",
        'behaviors[3].criteria.value.cidrs[0] must be a CIDR such as 10.0.0.0/8 or 2001:db8::/32, got "10.0.0.0/33"',
    ),
    (
        (*PEERS, "criteria", "value", "cidrs", 0),
        "fe80::1%eth0",
        'behaviors[3].criteria.value.cidrs[0] must be a CIDR such as 10.0.0.0/8 or 2001:db8::/32, got "fe80::1%eth0"',
    ),
    (
        (*PEERS, "criteria", "value", "cidrs", 0),
        10,
        "behaviors[3].criteria.value.cidrs[0] must be a CIDR such as 10.0.0.0/8 or 2001:db8::/32, got 10",
    ),
    (
        ("behaviors", 4, "criteria", "value", "numbers", 0),
        "1",
        'behaviors[4].criteria.value.numbers[0] must be a number, got "1"',
    ),
    (
        ("behaviors", 5, "criteria", "value", "strings", 0),
        None,
        "behaviors[5].criteria.value.strings[0] must be a string, got null",
    ),
    (("alertTargets", "Email"), {}, "alertTargets.Email is not a known key; there is SNS"),
    (("alertTargets", "SNS", "roleArn"), MISSING, "alertTargets.SNS.roleArn is missing"),
    (
        ("alertTargets", "SNS", "roleArn"),
        "role",
        'alertTargets.SNS.roleArn must be an ARN (arn:...) of 20 to 2048 characters, got "role"',
    ),
    (
        ("additionalMetricsToRetainV2", 0),
        "load_average",
        'additionalMetricsToRetainV2[0] must be an object, got "load_average"',
    ),
    (("additionalMetricsToRetain", 0), 5, f"additionalMetricsToRetain[0] {NAME_RULE} 5"),
    (("tags", 1, "Key"), "team", 'tags[1].Key must be unique, got "team"'),
    (
        ("tags", 0, "Key"),
        "",
        'tags[0].Key must be 1 to 128 letters, digits, blanks and _ . : / = + - @, not beginning with aws:, got ""',
    ),
    (
        ("metricsExportConfig", "mqttTopic"),
        "",
        'metricsExportConfig.mqttTopic must be a string of 1 to 512 characters, got ""',
    ),
]


def change(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(document)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    if value is MISSING:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return changed


def behavior(metric: str, **criteria: Any) -> dict[str, Any]:
    """A profile with one behavior."""
    return {"securityProfileName": "p", "behaviors": [{"name": "b", "metric": metric, "criteria": criteria}]}


def test_a_profile_with_everything_in_it_is_right() -> None:
    assert [] == find_profile_problems(GOOD)
    assert [] == find_profile_problems({"securityProfileName": "p"})


@pytest.mark.parametrize(("path", "value", "problem"), BAD, ids=[problem for *_, problem in BAD])
def test_what_is_wrong_is_said_with_its_place(path: tuple[Any, ...], value: Any, problem: str) -> None:
    problems = find_profile_problems(change(GOOD, path, value))
    assert any(found.startswith(problem) for found in problems), problems
    assert len(problems) <= 2


def test_a_hundred_behaviors_and_a_thousand_value_elements_are_the_limit() -> None:
    many = [{"name": f"b{index}", "metric": "m", "criteria": ports(9)} for index in range(100)]
    full = {"securityProfileName": "p", "behaviors": [*many[:-1], {**many[-1], "criteria": ports(109)}]}
    assert [] == find_profile_problems(full)
    over = change(full, ("behaviors", 0, "criteria"), ports(10))
    assert ["behaviors must have at most 1000 value elements together, got 1001"] == find_profile_problems(over)
    full["behaviors"] = [*many, {**many[0], "name": "more"}]
    assert ["behaviors must be an array of at most 100 objects, got an array of 101"] == find_profile_problems(full)


def ports(count: int) -> dict[str, Any]:
    return {"comparisonOperator": "in-set", "value": {"numbers": list(range(count))}}


@pytest.mark.parametrize("document", [[], None, 7, "profile"])
def test_a_profile_must_be_an_object(document: Any) -> None:
    assert 1 == len(find_profile_problems(document))


def test_a_behavior_needs_nothing_but_its_name() -> None:
    assert [] == find_profile_problems({"securityProfileName": "p", "behaviors": [{"name": "b"}]})
    assert [] == find_profile_problems(change(GOOD, (*BYTES, "criteria"), MISSING))


def test_what_describe_security_profile_adds_is_no_problem() -> None:
    added = {
        "securityProfileArn": "arn:aws:iot:eu-west-1:123456789012:securityprofile/p",
        "version": 3,
        "creationDate": "2024-03-01T10:00:00.123000+01:00",
        "lastModifiedDate": 1710000000.5,
    }
    assert [] == find_profile_problems({**GOOD, **added})


@pytest.mark.parametrize("metric", CLOUD_SIDE)
def test_a_cloud_side_metric_can_be_compared_and_retained(metric: str) -> None:
    criteria: dict[str, Any] = {"comparisonOperator": "less-than", "value": {"count": 50}}
    if CLOUD_SIDE[metric] == "cidrs":
        criteria = {"comparisonOperator": "not-in-cidr-set", "value": {"cidrs": ["12.8.0.0/16"]}}
    retained = {"additionalMetricsToRetain": [metric], "additionalMetricsToRetainV2": [{"metric": metric}]}
    assert [] == find_profile_problems({**behavior(metric, **criteria), **retained})


DIMENSION = {"dimensionName": "topics", "operator": "NOT_IN"}
COMPARED = {"comparisonOperator": "less-than", "value": {"count": 50}, "durationSeconds": 300}


def test_a_dimension_narrows_a_cloud_side_metric() -> None:
    document = behavior("aws:num-messages-sent", **COMPARED)
    document["behaviors"][0]["metricDimension"] = DIMENSION
    document["additionalMetricsToRetainV2"] = [{"metric": "aws:message-byte-size", "metricDimension": DIMENSION}]
    assert [] == find_profile_problems(document)
    document["additionalMetricsToRetainV2"][0]["metric"] = "cpu_usage"
    (problem,) = find_profile_problems(document)
    assert problem.startswith(
        "additionalMetricsToRetainV2[0].metricDimension cannot be used with cpu_usage, only with "
    )


@pytest.mark.parametrize("metric", ["battery", "aws:all-bytes-out", "aws:num-messages-sent"])
def test_ml_detect_learns_of_numbers(metric: str) -> None:
    assert [] == find_profile_problems(behavior(metric, mlDetectionConfig={"confidenceLevel": "LOW"}))


@pytest.mark.parametrize("metric", ["aws:listening-tcp-ports", "aws:source-ip-address", "aws:disconnect-duration"])
def test_ml_detect_learns_of_nothing_else(metric: str) -> None:
    problem = f"behaviors[0].criteria.mlDetectionConfig cannot be used with {metric}, of which ML Detect has no models"
    assert [problem] == find_profile_problems(behavior(metric, mlDetectionConfig={"confidenceLevel": "LOW"}))


def test_how_long_a_thing_was_away_has_upper_bounds_only() -> None:
    criteria = {"comparisonOperator": "greater-than", "value": {"count": 5}}
    assert find_profile_problems(behavior("aws:disconnect-duration", **criteria)) == [
        "behaviors[0].criteria.comparisonOperator must be one of less-than, less-than-equals for count, "
        'got "greater-than"'
    ]


def test_a_name_with_a_blank_as_in_the_developer_guide_is_refused_as_the_model_does() -> None:
    document = change(behavior("aws:all-bytes-out", **COMPARED), (*BYTES, "name"), "TCP outbound traffic")
    assert [f'behaviors[0].name {NAME_RULE} "TCP outbound traffic"'] == find_profile_problems(document)


def test_all_that_is_wrong_is_said_at_once() -> None:
    document = change(change(GOOD, (*CRITERIA, "value", "count"), -1), ("tags",), {})
    document["behaviors"][1]["criteria"]["durationSeconds"] = 300
    assert find_profile_problems(document) == [
        "behaviors[0].criteria.value.count must be a whole number of at least 0, got -1",
        "behaviors[1].criteria.durationSeconds cannot be used with ports: lists have no duration",
        "tags must be an array of at most 50 objects, got an object",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(each for key, item in inner for each in paths_of(item, (*path, key)))]


@given(st.sampled_from(paths_of(GOOD)), JSON | st.just(MISSING))
@examples(500)
def test_whatever_stands_anywhere_is_right_or_said_in_lines_of_ascii(path: tuple[Any, ...], value: Any) -> None:
    problems = find_profile_problems(change(GOOD, path, value))
    assert all("\n" not in problem and problem.isascii() for problem in problems)


def test_profiles_are_read_in_the_order_of_their_files_and_hidden_ones_are_none(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", ".c.json", "d.txt"):
        (tmp_path / name).write_text(json.dumps({"securityProfileName": name[0]}))
    assert ["a.json", "b.json"] == [path.name for path in read_documents(tmp_path)]
    assert [{"securityProfileName": "b"}] == list(read_documents(tmp_path / "b.json").values())


def test_what_is_wrong_with_files_is_said_of_each(tmp_path: Path) -> None:
    for name, text in {
        "a": "[",
        "b": "{}",
        "c": '{"securityProfileName": "x"}',
        "d": '{"securityProfileName": "x"}',
    }.items():
        (tmp_path / f"{name}.json").write_text(text)
    with pytest.raises(Invalid) as refused:
        read_documents(tmp_path)
    broken, empty, twice = refused.value.problems
    assert broken.startswith(f"{tmp_path}/a.json: must be JSON in UTF-8: ")
    assert empty.startswith(f"{tmp_path}/b.json: securityProfileName is missing")
    assert f'{tmp_path}/d.json: securityProfileName "x" is in {tmp_path}/c.json, too' == twice
