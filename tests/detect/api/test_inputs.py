"""Each operation takes AWS's names within AWS's limits, and says of anything else what would be right."""

from __future__ import annotations

from typing import Any

import pytest

from defender_detect.api import inputs
from device_defender.validation import Invalid, read

THING = {"thingName": "t", "metricName": "m", "startTime": 0, "endTime": 1}
VERDICT = {"violationId": "a", "verificationState": "UNKNOWN"}
METRIC = {"metricName": "m", "metricType": "number", "clientRequestToken": "t"}
DIMENSION = {"name": "d", "type": "TOPIC_FILTER", "stringValues": ["a"], "clientRequestToken": "t"}


def refusal(raw: object, definition: Any) -> str:
    with pytest.raises(Invalid) as caught:
        read(raw, definition, name="the request")
    assert "\n" not in (said := "; ".join(caught.value.problems))
    return said


def test_nothing_need_be_given_for_a_list() -> None:
    given = read({}, inputs.ListActiveViolations)
    assert (None, 250, None, None) == (
        given.next_token, given.max_results, given.thing_name, given.list_suppressed_alerts,
    )  # fmt: skip
    assert 10 == read({}, inputs.GetBehaviorModelTrainingSummaries).max_results


@pytest.mark.parametrize(
    ("definition", "given"),
    [
        (inputs.ListActiveViolations, {"maxResults": 1, "thingName": "x" * 128, "listSuppressedAlerts": False}),
        (inputs.ListActiveViolations, {"maxResults": 250, "behaviorCriteriaType": "MACHINE_LEARNING"}),
        (inputs.ListMetricValues, {**THING, "startTime": -62_135_596_800, "endTime": 253_402_300_799.9}),
        (inputs.PutVerificationStateOnViolation, {**VERDICT, "violationId": "aZ-09" + "-" * 123}),
        (inputs.PutVerificationStateOnViolation, {**VERDICT, "verificationStateDescription": "\u00fc" * 1000}),
        (inputs.CreateCustomMetric, {**METRIC, "displayName": "\u00fc" * 128}),
        (inputs.CreateDimension, {**DIMENSION, "stringValues": ["x" * 256] * 100}),
        (inputs.AttachSecurityProfile, {"securityProfileName": "p", "securityProfileTargetArn": "x" * 2048}),
        (inputs.GetBehaviorModelTrainingSummaries, {"maxResults": 10}),
    ],
)
def test_the_edges_of_awss_limits_are_taken(definition: Any, given: dict[str, Any]) -> None:
    read(given, definition)


@pytest.mark.parametrize(
    ("definition", "given", "said"),
    [
        (inputs.ListActiveViolations, {"maxResults": 0}, "maxResults must be a whole number from 1 to 250, got 0"),
        (inputs.ListActiveViolations, {"maxResults": 251}, "maxResults must be a whole number from 1 to 250, got 251"),
        (inputs.ListActiveViolations, {"maxResults": 1.5}, "maxResults must be a whole number from 1 to 250, got 1.5"),
        (inputs.ListActiveViolations, {"thingName": ""}, "thingName must be"),
        (inputs.ListActiveViolations, {"thingName": "x" * 129}, "thingName must be"),
        (inputs.ListActiveViolations, {"verificationState": "unknown"}, "verificationState must be one of"),
        (inputs.ListActiveViolations, {"thing_name": "t"}, 'thing_name is not a known key; did you mean "thingName"?'),
        (inputs.ListActiveViolations, {"securityProfileName": "a/b"}, "securityProfileName must be 1 to 128"),
        (inputs.ListViolationEvents, {}, "startTime is missing"),
        (inputs.ListViolationEvents, {"startTime": 0, "endTime": "now"}, "endTime must be a time of the years"),
        (inputs.ListMetricValues, {**THING, "endTime": 253_402_300_800}, "as ISO 8601 or seconds, got 253402300800"),
        (inputs.ListMetricValues, {**THING, "startTime": float("inf")}, "startTime must be a time of the years"),
        (inputs.ListMetricValues, {**THING, "startTime": float("nan")}, "startTime must be a time of the years"),
        (inputs.ListMetricValues, {**THING, "startTime": -1e30}, "startTime must be a time of the years"),
        (inputs.ListMetricValues, {**THING, "metricName": ""}, "metricName must be"),
        (inputs.PutVerificationStateOnViolation, {**VERDICT, "violationId": "a b"}, "violationId must be 1 to 128"),
        (inputs.PutVerificationStateOnViolation, {**VERDICT, "violationId": "a\n"}, "violationId must be 1 to 128"),
        (inputs.PutVerificationStateOnViolation,
         {**VERDICT, "verificationStateDescription": "x" * 1001}, "0 to 1000 characters"),
        (inputs.CreateCustomMetric, {**METRIC, "displayName": "a\x1bb"}, "displayName must be at most 128 printable"),
        (inputs.CreateCustomMetric, {**METRIC, "metricType": "text"}, "metricType must be one of"),
        (inputs.CreateDimension, {**DIMENSION, "stringValues": []}, "stringValues must be"),
        (inputs.CreateDimension, {**DIMENSION, "stringValues": ["a"] * 101}, "stringValues must be"),
        (inputs.CreateDimension, {**DIMENSION, "stringValues": [""]}, "stringValues[0] must be"),
        (inputs.ValidateSecurityProfileBehaviors, {"behaviors": {}}, "behaviors must be"),
        (inputs.DescribeDimension, {}, "name is missing"),
        (inputs.GetBehaviorModelTrainingSummaries, {"maxResults": 11}, "maxResults must be"),
    ],
)  # fmt: skip
def test_what_is_beyond_them_is_refused_with_what_would_be_right(
    definition: Any, given: dict[str, Any], said: str
) -> None:
    assert said in refusal(given, definition)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    said = refusal({"maxResults": 0, "x": 1}, inputs.ListViolationEvents)
    assert all(each in said for each in ("maxResults", "x is not a known key", "startTime is missing", "endTime"))


def test_what_is_wrong_with_a_profile_is_not_the_inputs_to_say() -> None:
    read({"behaviors": [7, None, {"x": "\u202e"}]}, inputs.ValidateSecurityProfileBehaviors)
    assert (
        "new"
        == read({"securityProfileName": "new", "behaviors": [7]}, inputs.CreateSecurityProfile).security_profile_name
    )
