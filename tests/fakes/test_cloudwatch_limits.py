"""The emulator keeps the limits of CloudWatch, which AWS documents and ministack does not."""

from __future__ import annotations

import time
from typing import Any

import pytest

from defender_cloudwatch.call import LOGS, METRICS, Api, Service
from defender_cloudwatch.credentials import Keeper
from defender_cloudwatch.errors import CallFailed
from defender_cloudwatch.signature import Credentials
from tests.fakes.emulator import Account

GROUP, STREAM = "/system/rpi/rpi-0001", "app"
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000  # milliseconds


class Caller:
    """Calls as a device does, in JSON; boto3 checks much by itself, and sends metrics in CBOR."""

    def __init__(self, account: Account) -> None:
        keeper = Keeper(lambda: Credentials(account.id, "test", ""))
        self._api = Api(account.region, keeper, endpoint=account.emulator.url)

    def call(self, service: Service, operation: str, **content: Any) -> dict[str, Any]:
        return self._api.call(service, operation, content)

    def put(self, *events: tuple[float, str]) -> dict[str, Any]:
        """Send events, each so many milliseconds from now."""
        now = int(time.time() * 1000)
        document = [{"timestamp": int(now + ahead), "message": message} for ahead, message in events]
        return self.call(LOGS, "PutLogEvents", logGroupName=GROUP, logStreamName=STREAM, logEvents=document)

    def measure(self, **metric: Any) -> dict[str, Any]:
        document = [{"MetricName": "CPUUtilization", "Value": 1.0, **metric}]
        return self.call(METRICS, "PutMetricData", Namespace="Lab", MetricData=document)


@pytest.fixture
def caller(account: Account) -> Caller:
    logs = account.client("logs")
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName=STREAM)
    return Caller(account)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([], "min length: 1"),
        ([(0, "x")] * 10_001, "at most 10000"),
        ([(0, "")], "min length: 1"),
        ([(0, "x" * 1_048_551)], "too large: 1048577 bytes"),
        ([(0, "\u00e9" * 300_000), (0, "x" * 448_525)], "Upload too large: 1048577 bytes"),
        ([(0, "x"), (-1000, "x")], "chronological order"),
        ([(-DAY, "x"), (1000, "x")], "more than 24 hours"),
    ],
    ids=["none", "too many", "empty", "a large one", "together too large", "order", "span"],
)
def test_a_batch_beyond_a_limit_is_refused_as_a_whole(caller: Caller, events: Any, message: str) -> None:
    with pytest.raises(CallFailed, match=message) as refused:
        caller.put(*events)
    assert "InvalidParameterException" == refused.value.code


def test_a_batch_at_every_limit_is_taken(caller: Caller) -> None:
    assert "rejectedLogEventsInfo" not in caller.put((0, "x" * 1_048_550))
    assert "rejectedLogEventsInfo" not in caller.put(*[(0, "x")] * 10_000)
    assert "rejectedLogEventsInfo" not in caller.put((-DAY, "x"), (0, "x"))


def test_events_are_rejected_one_by_one_for_their_time(caller: Caller, account: Account) -> None:
    assert {"tooNewLogEventStartIndex": 1} == caller.put((0, "x"), (2 * HOUR + MINUTE, "y"))["rejectedLogEventsInfo"]
    assert {"tooOldLogEventEndIndex": 1} == caller.put((-14 * DAY - MINUTE, "y"))["rejectedLogEventsInfo"]
    account.client("logs").put_retention_policy(logGroupName=GROUP, retentionInDays=1)
    expired = caller.put((-DAY - MINUTE, "y"), (-DAY + MINUTE, "z"))["rejectedLogEventsInfo"]
    assert {"expiredLogEventEndIndex": 1} == expired
    found = account.client("logs").get_log_events(logGroupName=GROUP, logStreamName=STREAM)["events"]
    assert ["z", "x"] == [each["message"] for each in found]


@pytest.mark.parametrize(
    ("operation", "content"),
    [
        ("CreateLogGroup", {"logGroupName": "a:b"}),
        ("CreateLogStream", {"logGroupName": GROUP, "logStreamName": "a*"}),
        ("PutRetentionPolicy", {"logGroupName": GROUP, "retentionInDays": 8}),
    ],
)
def test_names_and_days_that_aws_does_not_take_are_refused(caller: Caller, operation: str, content: Any) -> None:
    with pytest.raises(CallFailed, match="constraint|must be in"):
        caller.call(LOGS, operation, **content)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ({"Value": float("1e300")}, "Value 1e"),
        ({"Timestamp": time.time() - 15 * 86_400}, "Timestamp"),
        ({"Timestamp": time.time() + 3 * 3600}, "Timestamp"),
        ({"Unit": "Percents"}, "Unit"),
        ({"Dimensions": [{"Name": "InstanceId", "Value": ""}]}, "Dimensions"),
        ({"Dimensions": [{"Name": f"d{number}", "Value": "x"} for number in range(31)]}, "Dimensions"),
        ({"Valeu": 1}, "Valeu"),
    ],
)
def test_a_metric_beyond_a_limit_is_refused(caller: Caller, metric: Any, message: str) -> None:
    with pytest.raises(CallFailed, match=message) as refused:
        caller.measure(**metric)
    assert "InvalidParameterValue" == refused.value.code


def test_metrics_that_are_too_many_or_too_large_or_awss_own_are_refused(caller: Caller) -> None:
    metric = {"MetricName": "x" * 200, "Value": 1.0}
    dimensions = [{"Name": f"{number}{'n' * 200}", "Value": "v" * 200} for number in range(3)]
    for namespace, data, message in (
        ("AWS/EC2", [metric], "Namespace"),
        ("Lab", [metric] * 1_001, "1 to 1000"),
        ("Lab", [{**metric, "Dimensions": dimensions}] * 1_000, "exceeded 1048576"),
    ):
        with pytest.raises(CallFailed, match=message):
            caller.call(METRICS, "PutMetricData", Namespace=namespace, MetricData=data)
    caller.measure(Timestamp=time.time(), Unit="Percent", Dimensions=[{"Name": "InstanceId", "Value": "rpi-0001"}])


def test_an_answer_may_get_lost_and_calls_be_throttled(caller: Caller, account: Account) -> None:
    account.throttle("logs:PutLogEvents", times=1)
    with pytest.raises(CallFailed, match="ThrottlingException") as throttled:
        caller.put((0, "one"))
    account.fail("logs:PutLogEvents", "InternalFailure", "lost", 500, subject="two", times=1, done=True)
    with pytest.raises(CallFailed, match="InternalFailure") as lost:
        caller.put((0, "two"))
    assert throttled.value.passing
    assert lost.value.passing
    found = account.client("logs").get_log_events(logGroupName=GROUP, logStreamName=STREAM)["events"]
    assert ["two"] == [each["message"] for each in found]


def test_a_permission_that_is_taken_away_is_named_by_what_it_would_be_on(caller: Caller, account: Account) -> None:
    from botocore.exceptions import ClientError

    account.deny("logs:PutLogEvents")
    with pytest.raises(ClientError, match=f"logs:PutLogEvents on resource: .*{GROUP}:log-stream:{STREAM}"):
        account.client("logs").put_log_events(
            logGroupName=GROUP, logStreamName=STREAM, logEvents=[{"timestamp": 0, "message": "x"}]
        )
