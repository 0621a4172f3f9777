from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infrastructure.sentences import VIOLATIONS, behavior_sentence, profile_sentences

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"


def behavior(metric: str = "m", **criteria: Any) -> dict[str, Any]:
    return {"name": "b", "metric": metric, "criteria": criteria}


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        # The examples of AWS's developer guide, "Device-side metrics", of which each states what is normal.
        (
            {
                "comparisonOperator": "less-than-equals",
                "value": {"count": 4096},
                "durationSeconds": 300,
                "consecutiveDatapointsToAlarm": 1,
                "consecutiveDatapointsToClear": 1,
            },
            "m is above 4096 within 5 minutes",
        ),
        (
            {
                "comparisonOperator": "less-than-equals",
                "statisticalThreshold": {"statistic": "p50"},
                "durationSeconds": 900,
            },
            "m is above the p50 of the fleet within 15 minutes",
        ),
        ({"comparisonOperator": "in-port-set", "value": {"ports": [443, 80]}}, "m holds a port other than 443, 80"),
        (
            {"comparisonOperator": "in-cidr-set", "value": {"cidrs": ["12.0.0.0/8", "15.102.16.0/24"]}},
            "m holds an address outside 12.0.0.0/8, 15.102.16.0/24",
        ),
        (
            {"mlDetectionConfig": {"confidenceLevel": "HIGH"}},
            "m is unlike its last 14 days (machine learning, confidence HIGH)",
        ),
        ({"comparisonOperator": "greater-than", "value": {"number": 0.5}}, "m is 0.5 or less"),
        ({"comparisonOperator": "less-than", "value": {"count": 3}}, "m is 3 or more"),
        ({"comparisonOperator": "greater-than-equals", "value": {"count": 3}}, "m is below 3"),
        ({"comparisonOperator": "not-in-set", "value": {"strings": ["nc"]}}, "m holds one of nc"),
        (
            {"comparisonOperator": "in-set", "value": {"numbers": [1, 2, 3, 4, 5, 6]}},
            "m holds anything but 1, 2, 3, 4 and 2 more",
        ),
        (
            {
                "comparisonOperator": "less-than-equals",
                "value": {"number": 75},
                "consecutiveDatapointsToAlarm": 3,
                "consecutiveDatapointsToClear": 2,
            },
            "m is above 75, 3 times in a row; clears after 2 times in a row that are not",
        ),
    ],
)  # fmt: skip
def test_a_sentence_says_when_a_behavior_alarms(criteria: dict[str, Any], expected: str) -> None:
    assert f"b: alarms when {expected}" == behavior_sentence(behavior(**criteria))


def test_every_comparison_of_the_api_has_words() -> None:
    from importlib.util import find_spec

    if find_spec("botocore") is None:
        pytest.skip("botocore, which has the API's model, is not installed")
    import boto3

    client = boto3.client("iot", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    assert set(client.meta.service_model.shape_for("ComparisonOperator").enum) == set(VIOLATIONS)


@pytest.mark.parametrize("document", [{"name": "b", "metric": "m"}, {"name": "b", "metric": "m", "criteria": {}}])
def test_a_behavior_without_criteria_keeps_its_metric(document: dict[str, Any]) -> None:
    assert "b: keeps m without an alarm" == behavior_sentence(document)


def test_suppressed_alerts_and_dimensions_are_said() -> None:
    dimension = {"dimensionName": "TOPIC_FILTER", "operator": "NOT_IN"}
    document = behavior(comparisonOperator="less-than", value={"count": 3})
    document |= {"suppressAlerts": True, "metricDimension": dimension}
    expected = "b: alarms when m (NOT_IN TOPIC_FILTER) is 3 or more (recorded only: its alerts are suppressed)"
    assert expected == behavior_sentence(document)


def test_a_value_that_AWS_would_refuse_is_described_all_the_same() -> None:  # noqa: N802
    assert "b: alarms when m is not near {}".format("") == behavior_sentence(behavior(comparisonOperator="near"))


@pytest.mark.parametrize("path", sorted((CONFIGS / "security-profiles").rglob("*.json")), ids=lambda path: path.stem)
def test_each_shipped_profile_has_a_sentence_for_each_behavior_and_for_what_it_keeps(path: Path) -> None:
    document = json.loads(path.read_text())
    sentences = list(profile_sentences(document))
    retained = [entry["metric"] for entry in document.get("additionalMetricsToRetainV2", [])]
    assert len(document.get("behaviors", [])) + bool(retained) == len(sentences)
    assert all(metric in sentences[-1] for metric in retained)


def test_no_profile_that_is_deployed_by_default_alarms_for_what_is_normal_somewhere() -> None:
    """A device's own connection to AWS IoT is public; ports and traffic are what the device is for.

    That a device is not heard is an alarm everywhere.
    """
    shipped = [json.loads(path.read_text()) for path in (CONFIGS / "security-profiles").glob("*.json")]
    alarming = {behavior["metric"] for document in shipped for behavior in document.get("behaviors", [])}
    assert {"cpu_usage", "aws:disconnect-duration"} == alarming
