"""A security profile is read as AWS takes it; what only AWS can evaluate is said, and the rest is evaluated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_detect.errors import DetectError, ProfileError
from defender_detect.evaluate.behaviors import NO_HISTORY, evaluate
from defender_detect.metrics import Value
from defender_detect.profiles import Behavior, Criteria, Profile, parse_profile, read_profile, read_profiles
from device_defender.profile_rules import find_profile_problems
from tests.device_defender.test_profile_rules import COUNT, CRITERIA, GOOD, JSON, MISSING, change, paths_of
from tests.examples import examples

SHIPPED = Path(__file__).resolve().parent.parent.parent / "configs" / "security-profiles"


def write(directory: Path, document: Any, name: str = "profile.json") -> Path:
    path = directory / name
    path.write_text(json.dumps(document))
    return path


def test_a_profile_is_read_with_everything_in_it(tmp_path: Path) -> None:
    profile = read_profile(write(tmp_path, GOOD))
    assert "gateway:1_a-B" == profile.name
    assert Behavior("bytes", "aws:all-bytes-out", Criteria("less-than", "count", 5, 300), True) == profile.behaviors[0]
    expected = Criteria("in-port-set", "ports", (22, 0, 65535), None, 10, 2)
    assert expected == profile.behaviors[1].criteria
    assert Criteria("less-than-equals", None, None, 3600, 1, 1, "p99.9") == profile.behaviors[2].criteria
    assert COUNT == profile.behaviors[0].criteria.document
    assert ("aws:all-bytes-in", "load_average") == profile.additional_metrics
    assert {"aws:all-bytes-in", "load_average", "neighbours", "sizes"} <= profile.metrics
    assert () == profile.left_to_aws
    assert GOOD == profile.document
    assert GOOD["behaviors"][2] == profile.behaviors[2].document


def test_a_profile_needs_nothing_but_its_name(tmp_path: Path) -> None:
    assert Profile("p") == read_profile(write(tmp_path, {"securityProfileName": "p"}))


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(GOOD), encoding="utf-8-sig")
    assert "gateway:1_a-B" == read_profile(path).name


def test_all_problems_are_said_at_once_with_the_file(tmp_path: Path) -> None:
    document = change(change(GOOD, (*CRITERIA, "value", "count"), -1), ("tags",), {})
    path = write(tmp_path, document)
    with pytest.raises(ProfileError) as raised:
        read_profile(path)
    assert isinstance(raised.value, DetectError)
    expected = [
        f"{path}: behaviors[0].criteria.value.count must be a whole number of at least 0, got -1",
        f"{path}: tags must be an array of at most 50 objects, got an object",
    ]
    assert expected == raised.value.problems == str(raised.value).splitlines()


def mixed(*behaviors: dict[str, Any], **more: Any) -> dict[str, Any]:
    ports = {"comparisonOperator": "in-port-set", "value": {"ports": [22]}}
    known = {"name": "ports", "metric": "aws:listening-tcp-ports", "criteria": ports}
    return {"securityProfileName": "P", "behaviors": [known, *behaviors], **more}


SENT = {"comparisonOperator": "less-than", "value": {"count": 5}, "durationSeconds": 300}
LEFT_TO_AWS = [
    (
        mixed({"name": "auth", "metric": "aws:num-authorization-failures", "criteria": SENT}),
        'behaviors[1] "auth" is not evaluated here: aws:num-authorization-failures is a cloud-side metric, '
        "which only AWS IoT measures",
        set(),
    ),
    (
        mixed(
            {
                "name": "x",
                "metric": "aws:num-messages-sent",
                "criteria": SENT,
                "metricDimension": {"dimensionName": "d"},
            }
        ),
        'behaviors[1] "x" is not evaluated here: aws:num-messages-sent is a cloud-side metric, '
        "which only AWS IoT measures",
        set(),
    ),
    (
        mixed(
            {
                "name": "ml",
                "metric": "aws:all-bytes-out",
                "criteria": {"mlDetectionConfig": {"confidenceLevel": "HIGH"}},
            }
        ),
        'behaviors[1] "ml" is not evaluated here: ML Detect\'s models exist in AWS only; say what is normal with '
        "comparisonOperator and value or statisticalThreshold",
        {"aws:all-bytes-out"},
    ),
    (
        mixed({"name": "bytes-out", "metric": "aws:all-bytes-out"}),
        'behaviors[1] "bytes-out" is not evaluated here: it has no criteria, so aws:all-bytes-out is kept and compared '
        "with nothing",
        {"aws:all-bytes-out"},
    ),
    (mixed({"name": "b"}), 'behaviors[1] "b" is not evaluated here: it names no metric', set()),
    (
        mixed(additionalMetricsToRetain=["aws:all-packets-in", "aws:source-ip-address"]),
        "additionalMetricsToRetain[1] is not kept here: aws:source-ip-address is a cloud-side metric, "
        "which only AWS IoT measures",
        {"aws:all-packets-in"},
    ),
    (
        mixed(additionalMetricsToRetainV2=[{"metric": "aws:num-disconnects"}, {"metric": "cpu_usage"}]),
        "additionalMetricsToRetainV2[0] is not kept here: aws:num-disconnects is a cloud-side metric, "
        "which only AWS IoT measures",
        {"cpu_usage"},
    ),
]


@pytest.mark.parametrize(("document", "sentence", "kept"), LEFT_TO_AWS)
def test_what_only_aws_evaluates_is_said_and_the_rest_is_evaluated(
    document: dict[str, Any], sentence: str, kept: set[str], tmp_path: Path
) -> None:
    profile = read_profile(write(tmp_path, document))
    assert (sentence,) == profile.left_to_aws
    assert ["ports"] == [behavior.name for behavior in profile.behaviors]
    assert {"aws:listening-tcp-ports", *kept} == profile.metrics


def test_what_describe_security_profile_prints_is_read(tmp_path: Path) -> None:
    printed = mixed(
        securityProfileArn="arn:aws:iot:eu-west-1:123456789012:securityprofile/P",
        alertTargets={},
        additionalMetricsToRetainV2=[],
        version=3,
        creationDate="2024-03-01T10:00:00.123000+01:00",
        lastModifiedDate=1710000000.5,
    )
    profile = read_profile(write(tmp_path, printed))
    assert ("P", ()) == (profile.name, profile.left_to_aws)


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
    first = write(tmp_path, {"securityProfileName": "same"}, "a.json")
    second = write(tmp_path, {"securityProfileName": "same"}, "b.json")
    bad = write(tmp_path, {}, "c.json")
    with pytest.raises(ProfileError) as raised:
        read_profiles(tmp_path)
    expected = [
        f"{bad}: securityProfileName is missing; it must be 1 to 128 of the characters a-z A-Z 0-9 : _ -",
        f'{second}: securityProfileName "same" is in {first}, too',
    ]
    assert expected == raised.value.problems


@given(st.sampled_from(paths_of(GOOD)), JSON | st.just(MISSING))
@examples(300)
def test_whatever_is_right_can_be_evaluated(path: tuple[Any, ...], value: Any) -> None:
    document = change(GOOD, path, value)
    if not find_profile_problems(document):
        for behavior in parse_profile(document).behaviors:
            evaluate(NO_HISTORY, behavior, None, 0.0)


SHIPPED_MEANING: list[tuple[str, str, Value, bool]] = [
    ("cpu-usage", "processors-not-busy", 75, True),
    ("cpu-usage", "processors-not-busy", 75.1, False),
    ("silence", "reports-regularly", 15, True),
    ("silence", "reports-regularly", 16, False),
    ("network-baseline", "reports-regularly", 15, True),
    ("network-baseline", "reports-regularly", 16, False),
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
    assert all(profile.document["securityProfileDescription"] for profile in profiles.values())
    cpu_usage = profiles["cpu-usage"].behaviors[0].criteria
    assert (3, 3) == (cpu_usage.to_alarm, cpu_usage.to_clear)
    tested = {(profile, behavior) for profile, behavior, *_ in SHIPPED_MEANING}
    assert tested == {(profile.name, behavior.name) for profile in profiles.values() for behavior in profile.behaviors}


@pytest.mark.parametrize(("profile", "name", "value", "conforms"), SHIPPED_MEANING)
def test_the_shipped_profiles_mean_what_they_say(profile: str, name: str, value: Value, conforms: bool) -> None:
    behaviors = {behavior.name: behavior for behavior in read_profile(next(SHIPPED.rglob(f"{profile}.json"))).behaviors}
    assert conforms is evaluate(NO_HISTORY, behaviors[name], value, 1000.0)[2]
