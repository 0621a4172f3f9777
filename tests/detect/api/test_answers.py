"""Each answer has AWS's shape, in pages, and what is asked wrongly is a fault that says what would be right."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from defender_detect.api import answers, inputs
from defender_detect.api.answers import (
    Source,
    describe_security_profile,
    list_active_violations,
    list_metric_values,
    list_profiles_for_target,
    list_security_profiles,
    list_targets,
    list_violation_events,
    names_all,
    put_verification_state,
    validate_behaviors,
    with_next,
)
from defender_detect.api.faults import Fault
from defender_detect.errors import NothingKept
from defender_detect.evaluate.detector import Attachment
from defender_detect.profiles import parse_profile
from defender_detect.store.documents import Documents, Written
from tests.detect.api.conftest import PORTS, PROFILES
from tests.detect.api.test_app import source_of
from tests.detect.store.test_store import NOW

VALUES: dict[str, Any] = {"thing_name": "t0", "metric_name": "cpu_usage", "start_time": NOW, "end_time": NOW + 1e6}


@pytest.fixture
def source(violations: Path) -> Source:
    return source_of(violations)


def test_alarms_are_answered_in_pages_of_which_the_last_has_no_token(source: Source) -> None:
    found, token, sizes = [], None, []
    while not sizes or token is not None:
        answer = list_active_violations(source, inputs.ListActiveViolations(max_results=4, next_token=token))
        found += [each["violationId"] for each in answer["activeViolations"]]
        sizes.append(len(answer["activeViolations"]))
        token = answer.get("nextToken")
    assert ([4, 4, 3], [f"id-{number:02}" for number in range(1, 12)]) == (sizes, found)
    whole = list_active_violations(source, inputs.ListActiveViolations(max_results=11))
    assert ["activeViolations"] == [*whole]  # exactly as many as there are


def test_events_have_both_ends_of_their_time_and_a_time_is_no_shorter_than_nothing(source: Source) -> None:
    def number(start: float, end: float) -> int:
        given = inputs.ListViolationEvents(start_time=start, end_time=end)
        return len(list_violation_events(source, given)["violationEvents"])

    assert (4, 8, 13, 0) == (number(NOW, NOW), number(NOW, NOW + 1), number(0, NOW + 60), number(0, 0))
    with pytest.raises(Fault, match="startTime must not be later than endTime"):
        number(2, 1)


def test_values_continue_behind_the_last_one(source: Source) -> None:
    first = list_metric_values(source, inputs.ListMetricValues(**VALUES, max_results=2))
    assert [(NOW, {"number": 1.5}), (NOW + 300, {"number": 0.5})] == [
        (each["timestamp"], each["value"]) for each in first["metricDatumList"]
    ]
    following = inputs.ListMetricValues(**VALUES, max_results=1, next_token=first["nextToken"])
    (third,) = list_metric_values(source, following)["metricDatumList"]
    assert (NOW + 600, {"number": 1.0}) == (third["timestamp"], third["value"])
    end = inputs.ListMetricValues(**{**VALUES, "end_time": NOW + 301}, next_token=first["nextToken"])
    assert {"metricDatumList": []} == list_metric_values(source, end)


def test_what_is_not_kept_is_said(source: Source) -> None:
    with pytest.raises(NothingKept, match="nothing is kept of the thing nobody"):
        list_metric_values(source, inputs.ListMetricValues(**{**VALUES, "thing_name": "nobody"}))
    empty = inputs.ListMetricValues(**{**VALUES, "start_time": 0, "end_time": 1})
    assert {"metricDatumList": []} == list_metric_values(source, empty)
    for dimension in ({"dimension_name": "d"}, {"dimension_value_operator": "IN"}):
        with pytest.raises(Fault, match="are of cloud-side metrics, which are not kept here"):
            list_metric_values(source, inputs.ListMetricValues(**VALUES, **dimension))


def test_profiles_are_in_the_order_of_their_names_and_none_without_rules(source: Source) -> None:
    page = list_security_profiles(source, inputs.ListSecurityProfiles(max_results=1))
    (first,) = page["securityProfileIdentifiers"]
    assert ("ports", True) == (first["name"], first["arn"].endswith(":securityprofile/ports"))
    rest = list_security_profiles(source, inputs.ListSecurityProfiles(next_token=page["nextToken"]))
    assert (["ranks"], False) == ([each["name"] for each in rest["securityProfileIdentifiers"]], "nextToken" in rest)
    without = source._replace(rules=lambda: None)
    assert {"securityProfileIdentifiers": []} == list_security_profiles(without, inputs.ListSecurityProfiles())


def test_a_profile_of_a_file_is_described_without_dates_and_one_that_was_written_with_them(
    source: Source, tmp_path: Path
) -> None:
    given = inputs.DescribeSecurityProfile(security_profile_name="ports")
    described = describe_security_profile(source, given)
    assert (PROFILES[0]["behaviors"], 1) == (described["behaviors"], described["version"])
    assert "creationDate" not in described
    kept = source.kept._replace(profiles=Documents(tmp_path))
    with kept.profiles.alone():
        kept.profiles.put(Written(name="ports", document={}, version=3, created=1.0, modified=2.0))
    described = describe_security_profile(source._replace(kept=kept), given)
    assert (3, 1.0, 2.0) == (described["version"], described["creationDate"], described["lastModifiedDate"])
    with pytest.raises(Fault, match="there is no security profile nope") as refused:
        describe_security_profile(source, inputs.DescribeSecurityProfile(security_profile_name="nope"))
    assert 404 == refused.value.status


def test_targets_and_their_profiles_are_paged_by_their_names(source: Source) -> None:
    first = list_targets(source, inputs.ListTargetsForSecurityProfile(security_profile_name="ranks", max_results=1))
    (everything,) = first["securityProfileTargets"]
    following = inputs.ListTargetsForSecurityProfile(security_profile_name="ranks", next_token=first["nextToken"])
    (group,) = list_targets(source, following)["securityProfileTargets"]
    assert (True, True) == (everything["arn"].endswith(":all/things"), group["arn"].endswith(":thinggroup/gateways"))
    for arn, names in ((group["arn"], ["ranks"]), (everything["arn"], ["ports", "ranks"]), ("nobody", [])):
        given = inputs.ListSecurityProfilesForTarget(security_profile_target_arn=arn)
        mappings = list_profiles_for_target(source, given)["securityProfileTargetMappings"]
        assert names == [each["securityProfileIdentifier"]["name"] for each in mappings]
        assert all(arn == each["target"]["arn"] for each in mappings)


def test_what_is_wrong_with_behaviors_is_the_answer_and_no_fault(source: Source) -> None:
    good = {"name": "tcp", "metric": "aws:listening-tcp-ports", "criteria": PORTS}
    for behaviors, errors in (([], 0), ([good], 0), ([good, "b", 7], 2), ([{**good, "x" * 5000: 1}], 1)):
        answer = validate_behaviors(source, inputs.ValidateSecurityProfileBehaviors(behaviors=behaviors))
        assert (errors == 0, True) == (answer["valid"], len(answer["validationErrors"]) == errors)
        assert all(0 < len(each["errorMessage"]) <= 2048 for each in answer["validationErrors"])


def test_what_is_wrong_with_a_behavior_is_cut_to_what_aws_has_room_for(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MOST_ERROR", 12)
    (error,) = validate_behaviors(source, inputs.ValidateSecurityProfileBehaviors(behaviors=[7]))["validationErrors"]
    assert "behaviors[0]" == error["errorMessage"]


def test_a_verdict_is_kept_at_the_time_of_the_clock(violations: Path, tmp_path: Path) -> None:
    source = source_of(shutil.copytree(violations, tmp_path / "own"), clock=lambda: 77.0)
    given = inputs.PutVerificationStateOnViolation(violation_id="id-05", verification_state="FALSE_POSITIVE")
    assert {} == put_verification_state(source, given)
    assert ("FALSE_POSITIVE", "", 77.0) == source.store.verifications(["id-05"])["id-05"]


@pytest.mark.parametrize(
    ("metric", "dimension", "is_named"),
    [
        (None, None, True),
        ("aws:listening-tcp-ports", None, True),
        ("cpu_usage", None, True),
        ("old", None, True),
        ("cpu_usage", "d", True),
        ("cpu", None, False),
        (None, "e", False),
        ("cpu_usage", "e", False),
    ],
)
def test_a_profile_names_a_metric_wherever_it_stands(metric: str | None, dimension: str | None, is_named: bool) -> None:
    document = {
        **PROFILES[0],
        "additionalMetricsToRetain": ["old"],
        "additionalMetricsToRetainV2": [{"metric": "cpu_usage", "metricDimension": {"dimensionName": "d"}}],
    }
    assert is_named == names_all(Attachment(parse_profile(document)), metric, dimension)


def test_a_token_is_made_only_where_there_is_more() -> None:
    def never() -> tuple[Any, ...]:
        raise AssertionError

    assert {"a": 1} == with_next({"a": 1}, False, never)
    assert {"a", "nextToken"} == set(with_next({"a": 1}, True, lambda: (1,)))
