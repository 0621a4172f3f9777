"""Alarms to an SNS topic and a DynamoDB table."""

from __future__ import annotations

import json
from typing import Any

import pytest

from defender_detect.flink.deliveries import WAITS, Table, Topic
from tests.detect.evaluate.test_shapes import BODY

ARN = "arn:aws:sns:eu-west-1:123456789012:alarms"
LINE = json.dumps(BODY)


class FakeAws:
    """A client of SNS and DynamoDB, as boto3 makes it; it fails as often as it is told to, with a code."""

    def __init__(self, code: str = "", failures: int = 0) -> None:
        self.code, self.failures = code, failures
        self.published: list[str] = []
        self.items: dict[tuple[str, str], dict[str, Any]] = {}

    def publish(self, **message: str) -> None:
        self._fail()
        self.published.append(message["Message"])

    def put_item(self, **request: Any) -> None:
        self._fail()
        assert "attribute_not_exists(violationId)" == request["ConditionExpression"]
        key = request["Item"]["violationId"]["S"], request["Item"]["type"]["S"]
        if key in self.items:
            raise refusal("ConditionalCheckFailedException")
        self.items[key] = request["Item"]

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise refusal(self.code)


def refusal(code: str) -> Exception:
    error = RuntimeError("An error occurred")
    error.response = {"Error": {"Code": code}}  # type: ignore[attr-defined]
    return error


def test_a_topic_gets_the_alarm_as_it_is() -> None:
    client = FakeAws()
    Topic(ARN).open(client)(LINE)
    assert [LINE] == client.published


def test_the_table_takes_an_alarm_once_however_often_it_comes() -> None:
    client = FakeAws()
    put = Table("alarms", "eu-west-1").open(client)
    put(LINE)
    put(LINE)
    put(json.dumps({**BODY, "violationEventType": "alarm-cleared"}))
    assert [(BODY["violationId"], "in-alarm"), (BODY["violationId"], "alarm-cleared")] == list(client.items)
    item = client.items[BODY["violationId"], "in-alarm"]
    assert (LINE, BODY["thingName"]) == (item["alarm"]["S"], item["thingName"]["S"])
    assert str(BODY["violationEventTime"]) == item["time"]["N"]


def test_what_fails_is_tried_again_and_in_the_end_raised_so_that_the_job_begins_again_at_its_checkpoint() -> None:
    client, waits = FakeAws("Throttling", 3), list[float]()
    Topic(ARN).open(client, waits.append)(LINE)
    assert ([LINE], [1, 2, 4]) == (client.published, waits)
    client = FakeAws("Throttling", len(WAITS) + 1)
    with pytest.raises(RuntimeError):
        Topic(ARN).open(client, lambda _: None)(LINE)


def test_what_will_never_be_taken_is_said_and_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    client = FakeAws("InvalidParameter", 1)
    publish = Topic(ARN).open(client, pytest.fail)
    publish(LINE)
    publish(json.dumps({**BODY, "message": "x" * 300_000}))
    publish(LINE)
    assert [LINE] == client.published
    assert 2 == sum("does not take an alarm" in each for each in caplog.messages)
