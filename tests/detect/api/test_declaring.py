"""Custom metrics and dimensions are kept as AWS keeps them, so that scripts which declare them work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("boto3")

from botocore.exceptions import ClientError

from tests.detect.api.conftest import KEY, SECRET, Connect, rules
from tests.detect.api.test_operations import fault_of

TOKEN = {"clientRequestToken": "once"}


@pytest.fixture
def client(tmp_path: Path, connect: Connect) -> Any:
    """boto3, with a key, of an empty state directory."""
    return connect(tmp_path, {KEY: SECRET}, rules=rules)


def test_a_custom_metric_is_created_described_updated_listed_and_deleted(client: Any) -> None:
    created = client.create_custom_metric(metricName="fans", metricType="number", displayName="Fans", **TOKEN)
    again = client.create_custom_metric(metricName="fans", metricType="number", displayName="Fans", **TOKEN)
    assert created["metricArn"] == again["metricArn"]
    described = client.describe_custom_metric(metricName="fans")
    assert ("number", "Fans") == (described["metricType"], described["displayName"])
    updated = client.update_custom_metric(metricName="fans", displayName="All fans")
    assert ("All fans", described["creationDate"]) == (updated["displayName"], updated["creationDate"])
    client.create_custom_metric(metricName="cpu_usage", metricType="number", clientRequestToken="other")
    pages = client.get_paginator("list_custom_metrics").paginate(PaginationConfig={"PageSize": 1})
    assert ["cpu_usage", "fans"] == [name for page in pages for name in page["metricNames"]]
    client.delete_custom_metric(metricName="fans")
    client.delete_custom_metric(metricName="fans")
    with pytest.raises(client.exceptions.InvalidRequestException, match="the security profile ports needs cpu_usage"):
        client.delete_custom_metric(metricName="cpu_usage")
    for call in (client.describe_custom_metric, lambda **of: client.update_custom_metric(displayName="x", **of)):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            call(metricName="fans")


def test_a_dimension_is_created_described_updated_listed_and_deleted(client: Any) -> None:
    client.create_dimension(name="topics", type="TOPIC_FILTER", stringValues=["a/#"], **TOKEN)
    client.update_dimension(name="topics", stringValues=["b/+", "${iot:ClientId}"])
    described = client.describe_dimension(name="topics")
    assert ("TOPIC_FILTER", ["b/+", "${iot:ClientId}"]) == (described["type"], described["stringValues"])
    assert ["topics"] == client.list_dimensions()["dimensionNames"]
    client.delete_dimension(name="topics")
    assert [] == client.list_dimensions()["dimensionNames"]


def test_what_aws_refuses_is_refused(client: Any) -> None:
    client.create_dimension(name="d0", type="TOPIC_FILTER", stringValues=["a"], **TOKEN)
    with pytest.raises(client.exceptions.ResourceAlreadyExistsException):
        client.create_dimension(name="d0", type="TOPIC_FILTER", stringValues=["b"], **TOKEN)
    for number in range(1, 10):
        client.create_dimension(name=f"d{number}", type="TOPIC_FILTER", stringValues=["a"], **TOKEN)
    with pytest.raises(client.exceptions.LimitExceededException):
        client.create_dimension(name="d10", type="TOPIC_FILTER", stringValues=["a"], **TOKEN)
    wrong: list[dict[str, Any]] = [
        {"metricName": "aws:mine", "metricType": "number"},
        {"metricName": "m", "metricType": "words"},
        {"metricName": "m", "metricType": "number", "displayName": "\x1b[31m"},
    ]
    for each in wrong:
        with pytest.raises(ClientError) as raised:
            client.create_custom_metric(**each, **TOKEN)
        assert ("InvalidRequestException", 400) == fault_of(raised.value)


def test_no_model_is_trained(client: Any) -> None:
    assert [] == client.get_behavior_model_training_summaries(securityProfileName="ports")["summaries"]
    with pytest.raises(ClientError, match="there is no security profile nope"):
        client.get_behavior_model_training_summaries(securityProfileName="nope")
