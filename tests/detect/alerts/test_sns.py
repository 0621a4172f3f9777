"""Alerts to an SNS topic."""

from __future__ import annotations

import json
import sys

import pytest

from defender_detect.alerts.sns import Sns, SnsSink
from defender_detect.errors import AlertError, AlertRefused, AlertSettingError
from device_defender.validation import find_problems
from tests.detect.evaluate.test_shapes import BODY
from tests.detect.store.test_store import event

ARN = "arn:aws:sns:eu-west-1:123456789012:alarms"


class FakeSns:
    """A client of SNS, as boto3 makes it."""

    def __init__(self, code: str | None = None) -> None:
        self.code = code
        self.published: list[dict[str, str]] = []

    def publish(self, **message: str) -> None:
        if self.code:
            error = RuntimeError("An error occurred")
            error.response = {"Error": {"Code": self.code}}  # type: ignore[attr-defined]
            raise error
        self.published.append(message)


def test_sns_gets_the_body() -> None:
    client = FakeSns()
    SnsSink(ARN, client).send(event())
    ((arn, message),) = [(each["TopicArn"], each["Message"]) for each in client.published]
    assert (ARN, BODY) == (arn, json.loads(message))


@pytest.mark.parametrize(("code", "refused"), [("InvalidParameter", True), ("Throttled", False), ("NotFound", False)])
def test_what_sns_says_decides_whether_to_try_again(code: str, refused: bool) -> None:
    with pytest.raises(AlertError) as caught:
        SnsSink(ARN, FakeSns(code)).send(event())
    assert refused is isinstance(caught.value, AlertRefused)


@pytest.mark.parametrize("arn", ["", "x", "arn:aws:sqs:eu-west-1:123456789012:x", ARN + "\n", ARN + ".fifo"])
def test_what_is_no_arn_of_an_sns_topic_is_refused_at_once(arn: str) -> None:
    (problem,) = find_problems({"type": "sns", "topic_arn": arn}, Sns)
    assert problem.startswith("topic_arn must be the ARN of an SNS topic, arn:aws:sns:REGION:ACCOUNT:NAME, got ")


def test_an_sns_topic_may_be_in_china() -> None:
    arn = "arn:aws-cn:sns:cn-north-1:123456789012:x"
    assert [] == find_problems({"type": "sns", "topic_arn": arn}, Sns)


def test_sns_without_boto3_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(AlertSettingError, match="pip install boto3"):
        SnsSink(ARN)
