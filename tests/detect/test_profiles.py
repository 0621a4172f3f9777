"""A security profile is what AWS takes, word for word; all that is wrong with one is said at once, with its place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defender_detect.errors import DetectError, ProfileError
from defender_detect.evaluate.behaviors import NO_HISTORY, evaluate
from defender_detect.metrics import Value
from defender_detect.profile_rules import find_problems
from defender_detect.profiles import Behavior, Criteria, Profile, parse_profile, read_profile, read_profiles

SHIPPED = Path(__file__).resolve().parent.parent.parent / "configs" / "security-profiles"
ROLE = "arn:aws:iam::123456789012:role/defender"
COUNT = {"comparisonOperator": "less-than", "value": {"count": 5}, "durationSeconds": 300}
GOOD: dict[str, Any] = {
    "securityProfileName": "gateway:1_a-B",
    "securityProfileDescription": "What gateways do - ünd nothing else",
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
CLOUD_SIDE = [
    "aws:num-messages-sent",
    "aws:num-authorization-failures",
    "aws:message-byte-size",
    "aws:num-connection-attempts",
    "aws:num-disconnects",
    "aws:num-messages-received",
    "aws:disconnect-duration",
    "aws:source-ip-address",
]
NAME_RULE = "must be 1 to 128 of a-z A-Z 0-9 : _ -, got"
BAD = [
    (("securityProfileName",), MISSING, "securityProfileName is missing"),
    (("securityProfileName",), "a b", f'securityProfileName {NAME_RULE} "a b"'),
    (("securityProfileName",), "", f'securityProfileName {NAME_RULE} ""'),
    (("securityProfileName",), 7, f"securityProfileName {NAME_RULE} 7"),
    (
        ("securityProfileDescription",),
        "a\nb",
        'securityProfileDescription must be a string of at most 1000 characters in one line, got "a\\nb"',
    ),
    (("behaviours",), [], 'the document has no key "behaviours": did you mean "behaviors"?'),
    (("behaviors",), {}, "behaviors must be an array, got an object"),
    (PORTS, "ports", 'behaviors[1] must be an object, got "ports"'),
    ((*BYTES, "name"), MISSING, "behaviors[0].name is missing"),
    ((*BYTES, "name"), "a" * 129, f'behaviors[0].name {NAME_RULE} "{"a" * 60}...'),
    ((*PORTS, "name"), "bytes", 'behaviors[1].name must be unique, got "bytes"'),
    ((*BYTES, "metric"), MISSING, "behaviors[0].metric is missing"),
    ((*RANK, "metric"), "cpu usage", f'behaviors[2].metric {NAME_RULE} "cpu usage"'),
    (
        (*BYTES, "metric"),
        "aws:all-byte-out",
        'behaviors[0].metric cannot be "aws:all-byte-out", which is no device-side metric: '
        'did you mean "aws:all-bytes-out"?',
    ),
    ((*BYTES, "criteria"), MISSING, "behaviors[0].criteria is missing"),
    ((*BYTES, "criteria"), [], "behaviors[0].criteria must be an object, got an array of 0"),
    (
        (*BYTES, "metricDimension"),
        {"dimensionName": "d"},
        "behaviors[0].metricDimension cannot be evaluated here: dimensions narrow cloud-side metrics, "
        "which only AWS IoT measures",
    ),
    ((*BYTES, "suppressAlerts"), 1, "behaviors[0].suppressAlerts must be true or false, got 1"),
    ((*BYTES, "exportMetric"), "true", 'behaviors[0].exportMetric must be true or false, got "true"'),
    ((*BYTES, "suppressAlert"), True, 'behaviors[0] has no key "suppressAlert": did you mean "suppressAlerts"?'),
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
        "behaviors[0].criteria.comparisonOperator must be one of less-than, less-than-equals, greater-than, "
        "greater-than-equals, in-port-set, not-in-port-set, in-cidr-set, not-in-cidr-set, in-set, not-in-set, "
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
    ((*CRITERIA, "value", "count"), -1, "behaviors[0].criteria.value.count must be an integer of at least 0, got -1"),
    ((*CRITERIA, "value", "count"), 5.0, "behaviors[0].criteria.value.count must be an integer of at least 0, got 5.0"),
    (
        (*CRITERIA, "value", "count"),
        "5",
        'behaviors[0].criteria.value.count must be an integer of at least 0, got "5"',
    ),
    (
        (*CRITERIA, "value", "count"),
        True,
        "behaviors[0].criteria.value.count must be an integer of at least 0, got true",
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
        "behaviors[0].criteria.consecutiveDatapointsToAlarm must be an integer from 1 to 10, got 0",
    ),
    (
        (*CRITERIA, "consecutiveDatapointsToClear"),
        11,
        "behaviors[0].criteria.consecutiveDatapointsToClear must be an integer from 1 to 10, got 11",
    ),
    (
        (*CRITERIA, "mlDetectionConfig"),
        {"confidenceLevel": "HIGH"},
        "behaviors[0].criteria.mlDetectionConfig cannot be evaluated here: ML Detect's models exist in AWS only; "
        "say what is normal with comparisonOperator and value or statisticalThreshold",
    ),
    (
        (*PORTS, "criteria", "durationSeconds"),
        300,
        "behaviors[1].criteria.durationSeconds cannot be used with ports: lists have no duration",
    ),
    (
        (*PORTS, "criteria", "value", "ports", 1),
        65536,
        "behaviors[1].criteria.value.ports[1] must be an integer from 0 to 65535, got 65536",
    ),
    (
        (*PORTS, "criteria", "value", "ports", 0),
        "22",
        'behaviors[1].criteria.value.ports[0] must be an integer from 0 to 65535, got "22"',
    ),
    ((*PORTS, "criteria", "value", "ports"), 22, "behaviors[1].criteria.value.ports must be an array, got 22"),
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
        "behaviors[2].criteria.statisticalThreshold cannot be used with a metric that is a list",
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
    (("alertTargets", "Email"), {}, 'alertTargets has no key "Email": there is SNS'),
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
    (("tags", 0, "Key"), "", 'tags[0].Key must be a string of 1 to 128 characters, got ""'),
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


def write(directory: Path, document: Any, name: str = "profile.json") -> Path:
    path = directory / name
    path.write_text(json.dumps(document))
    return path


def test_a_profile_is_read_with_everything_in_it(tmp_path: Path) -> None:
    profile = read_profile(write(tmp_path, GOOD))
    assert "gateway:1_a-B" == profile.name
    assert "What gateways do - ünd nothing else" == profile.description
    assert Behavior("bytes", "aws:all-bytes-out", Criteria("less-than", "count", 5, 300), True) == profile.behaviors[0]
    expected = Criteria("in-port-set", "ports", (22, 0, 65535), None, 10, 2)
    assert expected == profile.behaviors[1].criteria
    assert Criteria("less-than-equals", None, None, 3600, 1, 1, "p99.9") == profile.behaviors[2].criteria
    assert profile.behaviors[2].export_metric
    assert COUNT == profile.behaviors[0].criteria.document
    assert ("aws:all-bytes-in", "load_average") == profile.additional_metrics
    assert {"aws:all-bytes-in", "load_average", "neighbours", "sizes"} <= profile.metrics
    assert {"team": "iot", "empty": ""} == profile.tags
    assert "arn:aws:sns:eu-west-1:123456789012:alarms" == profile.alert_targets["SNS"]["alertTargetArn"]


def test_a_profile_needs_nothing_but_its_name(tmp_path: Path) -> None:
    assert Profile("p") == read_profile(write(tmp_path, {"securityProfileName": "p"}))


@pytest.mark.parametrize(("path", "value", "problem"), BAD)
def test_what_is_wrong_is_said_with_its_place(path: tuple[Any, ...], value: Any, problem: str) -> None:
    problems = find_problems(change(GOOD, path, value))
    assert any(found.startswith(problem) for found in problems), problems
    assert len(problems) <= 2


@pytest.mark.parametrize("metric", CLOUD_SIDE)
def test_cloud_side_metrics_are_refused_by_name(metric: str) -> None:
    reason = f"cannot be {metric} here: it is a cloud-side metric, which only AWS IoT measures; no report holds it"
    assert [f"behaviors[0].metric {reason}"] == find_problems(change(GOOD, (*BYTES, "metric"), metric))
    kept = find_problems(change(GOOD, ("additionalMetricsToRetain", 0), metric))
    assert [f"additionalMetricsToRetain[0] {reason}"] == kept


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    document = change(change(GOOD, (*CRITERIA, "value", "count"), -1), ("tags",), {})
    path = write(tmp_path, document)
    with pytest.raises(ProfileError) as raised:
        read_profile(path)
    assert isinstance(raised.value, DetectError)
    expected = [
        f"{path}: behaviors[0].criteria.value.count must be an integer of at least 0, got -1",
        f"{path}: tags must be an array, got an object",
    ]
    assert expected == raised.value.problems == str(raised.value).splitlines()


def test_a_hundred_behaviors_and_a_thousand_value_elements_are_the_limit() -> None:
    many = [{"name": f"b{index}", "metric": "m", "criteria": ports(9)} for index in range(100)]
    full = {"securityProfileName": "p", "behaviors": [*many[:-1], {**many[-1], "criteria": ports(109)}]}
    assert [] == find_problems(full)
    over = change(full, ("behaviors", 0, "criteria"), ports(10))
    assert ["behaviors must have at most 1000 value elements together, got 1001"] == find_problems(over)
    full["behaviors"] = [*many, {**many[0], "name": "more"}]
    assert ["behaviors must have at most 100 behaviors, got 101"] == find_problems(full)


def ports(count: int) -> dict[str, Any]:
    return {"comparisonOperator": "in-set", "value": {"numbers": list(range(count))}}


@pytest.mark.parametrize("document", [[], None, 7, "profile"])
def test_a_profile_must_be_an_object(document: Any) -> None:
    assert 1 == len(find_problems(document))


@pytest.mark.parametrize("payload", [b"{", b"\xff", b"[" * 100_000])
def test_a_file_that_is_not_json_is_a_problem(tmp_path: Path, payload: bytes) -> None:
    path = tmp_path / "profile.json"
    path.write_bytes(payload)
    with pytest.raises(ProfileError, match="must be JSON in UTF-8: "):
        read_profile(path)


def test_a_file_and_a_directory_that_are_not_there_are_problems(tmp_path: Path) -> None:
    for read in (read_profile, read_profiles):
        with pytest.raises(ProfileError, match="nowhere: cannot be read: No such file or directory"):
            read(tmp_path / "nowhere")


def test_a_directory_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    write(tmp_path, {"securityProfileName": "second"}, "b.json")
    write(tmp_path, {"securityProfileName": "first"}, "a.json")
    (tmp_path / "README.md").write_text("no profile")
    (tmp_path / ".hidden.json").write_text("no profile")
    assert ["first", "second"] == [profile.name for profile in read_profiles(tmp_path)]


def test_a_directory_says_the_problems_of_all_its_files(tmp_path: Path) -> None:
    write(tmp_path, {"securityProfileName": "same"}, "a.json")
    write(tmp_path, {"securityProfileName": "same"}, "b.json")
    bad = write(tmp_path, {}, "c.json")
    with pytest.raises(ProfileError) as raised:
        read_profiles(tmp_path)
    expected = [f"{bad}: securityProfileName is missing", 'securityProfileName must be unique, but 2 files have "same"']
    assert expected == raised.value.problems


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(each for key, item in inner for each in paths_of(item, (*path, key)))]


@given(st.sampled_from(paths_of(GOOD)), JSON | st.just(MISSING))
@settings(max_examples=500, deadline=None)
def test_whatever_stands_anywhere_a_profile_is_read_or_has_problems(path: tuple[Any, ...], value: Any) -> None:
    document = change(GOOD, path, value)
    problems = find_problems(document)
    assert all("\n" not in problem and problem.isascii() for problem in problems)
    if not problems:
        for behavior in parse_profile(document).behaviors:
            evaluate(NO_HISTORY, behavior, None, 0.0)


SHIPPED_MEANING: list[tuple[str, str, Value, bool]] = [
    ("cpu-usage", "processors-not-busy", 75, True),
    ("cpu-usage", "processors-not-busy", 75.1, False),
    ("network-baseline", "listening-tcp-ports", (22,), True),
    ("network-baseline", "listening-tcp-ports", (), True),
    ("network-baseline", "listening-tcp-ports", (22, 4444), False),
    ("network-baseline", "listening-udp-ports", (68, 5353), True),
    ("network-baseline", "listening-udp-ports", (69,), False),
    ("network-baseline", "destinations", ("192.168.1.2", "fe80::1", "203.0.113.9", "::ffff:10.1.2.3"), True),
    ("network-baseline", "destinations", ("192.168.1.2", "198.51.100.1"), False),
    ("network-baseline", "destinations", ("2001:db8::1",), False),
    ("network-baseline", "established-connections", 20, True),
    ("network-baseline", "established-connections", 21, False),
    ("network-baseline", "bytes-out-in-5-minutes", 10_000_000, True),
    ("network-baseline", "bytes-out-in-5-minutes", 10_000_001, False),
    ("network-baseline", "bytes-out-in-an-hour", 50_000_001, False),
    ("network-baseline", "bytes-in-in-an-hour", 500_000_001, False),
]


def test_the_shipped_profiles_say_what_they_are_for() -> None:
    profiles = {each.name: each for path in (SHIPPED, SHIPPED / "examples") for each in read_profiles(path)}
    assert {"cpu-usage", "network-baseline"} <= set(profiles)
    assert all(profile.description for profile in profiles.values())
    cpu_usage = profiles["cpu-usage"].behaviors[0].criteria
    assert (3, 3) == (cpu_usage.to_alarm, cpu_usage.to_clear)
    tested = {(profile, behavior) for profile, behavior, *_ in SHIPPED_MEANING}
    assert tested == {(profile.name, behavior.name) for profile in profiles.values() for behavior in profile.behaviors}


@pytest.mark.parametrize(("profile", "name", "value", "conforms"), SHIPPED_MEANING)
def test_the_shipped_profiles_mean_what_they_say(profile: str, name: str, value: Value, conforms: bool) -> None:
    behaviors = {behavior.name: behavior for behavior in read_profile(next(SHIPPED.rglob(f"{profile}.json"))).behaviors}
    assert conforms is evaluate(NO_HISTORY, behaviors[name], value, 1000.0)[2]
