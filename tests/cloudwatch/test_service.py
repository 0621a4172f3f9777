"""What each turn of the CloudWatch job sends, keeps for the next one, or says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from defender_cloudwatch.config import read_settings
from defender_cloudwatch.service import OLDEST_METRIC, Service, StateError
from tests.cloudwatch.doubles import Double, Request

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}
DENIED = (400, {"__type": "AccessDeniedException", "message": "no"})
AWAY = (503, {"__type": "ServiceUnavailableException", "message": "later"})
Open = Callable[..., Service]


class Aws:
    """CloudWatch: `metrics` and `logs` are what it took; `refusing` is the status and the error that it answers."""

    def __init__(self) -> None:
        self.metrics: list[list[dict[str, Any]]] = []
        self.logs: list[str] = []
        self.refusing: tuple[int, dict[str, str]] | None = None

    def answer(self, request: Request, client: str) -> tuple[int, Any]:
        if self.refusing is not None:
            return self.refusing
        document = request.document
        if request.headers["x-amz-target"].endswith("PutMetricData"):
            self.metrics.append(document["MetricData"])
        elif request.headers["x-amz-target"].endswith("PutLogEvents"):
            self.logs += [each["message"] for each in document["logEvents"]]
        return 200, {}


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def open_service(aws: Aws, tmp_path: Path) -> Iterator[Open]:
    """Open services of a device with a log file `app.log`; they are closed after the test."""
    opened: list[Service] = []
    with Double(aws.answer) as double:
        environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{double.port}"}

        def open_service(keep: bool = True) -> Service:
            entry = {"file_path": str(tmp_path / "app.log"), "from": "start"}
            collected = {"files": {"collect_list": [entry]}}
            document = {
                "agent": {"thing_name": "rpi-0001", "state_directory": str(tmp_path / "state")},
                "metrics": {"namespace": "Devices"},
                "logs": {"logs_collected": collected, "log_group_name": "/system"},
            }
            (tmp_path / "config.json").write_text(json.dumps(document))
            opened.append(Service(read_settings(tmp_path / "config.json", environment), keep=keep))
            return opened[-1]

        yield open_service
        for each in opened:
            each.close()


def test_metrics_are_sent_and_no_value_twice(aws: Aws, open_service: Open) -> None:
    service = open_service()
    first, second = service.put_metrics(), service.put_metrics()
    assert [first, second] == list(map(len, aws.metrics))
    assert first > 0
    assert {"rpi-0001"} == {each["Value"] for data in aws.metrics for one in data for each in one["Dimensions"]}


def test_metrics_that_could_not_be_sent_wait_and_those_of_two_weeks_ago_do_not(
    aws: Aws, open_service: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = open_service()
    aws.refusing = DENIED
    assert service.send_metrics() > 0
    assert "metrics were not sent: " in caplog.text
    waiting = len(service._waiting)
    aws.refusing = None
    assert service.put_metrics() > waiting > 0
    aws.refusing = DENIED
    service.send_metrics()
    late = time.time() + OLDEST_METRIC + 1
    monkeypatch.setattr(time, "time", lambda: late)
    aws.refusing = None
    service.put_metrics()
    assert min(each["Timestamp"] for each in aws.metrics[-1]) >= late - 1


def test_what_is_new_in_a_log_is_sent_once_and_after_a_start_as_well(
    aws: Aws, open_service: Open, tmp_path: Path
) -> None:
    (tmp_path / "app.log").write_text("a\nb\n")
    service = open_service()
    assert (2, False) == service.put_logs()
    service.close()
    with (tmp_path / "app.log").open("a") as log:
        log.write("c\n")
    assert (1, False) == open_service().put_logs()
    assert ["a", "b", "c"] == aws.logs


@pytest.mark.parametrize("refusing", [DENIED, AWAY], ids=["a refusal", "a fault"])
def test_a_log_that_was_not_sent_is_said_and_sent_the_next_time(
    aws: Aws, open_service: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture, refusing: Any
) -> None:
    (tmp_path / "app.log").write_text("a\n")
    service = open_service()
    aws.refusing = refusing
    assert service.send_logs() > 0
    assert f"file {tmp_path / 'app.log'} was not sent on: " in caplog.text
    aws.refusing = None
    service.send_logs()
    assert ["a"] == aws.logs


def test_whoever_is_told_to_stop_begins_no_other_log(aws: Aws, open_service: Open, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("a\n")
    service = open_service()
    service.stop()
    assert (0, False) == service.put_logs()
    assert [] == aws.logs


def test_a_preview_sends_and_keeps_nothing(aws: Aws, open_service: Open, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("a\n")
    assert [["a"]] == [lines for _, lines in open_service(keep=False).preview()]
    assert not (tmp_path / "state").exists()
    assert [] == aws.logs


def test_a_state_is_one_services_and_a_directory_that_cannot_be_used_is_said(
    open_service: Open, tmp_path: Path
) -> None:
    open_service()
    with pytest.raises(StateError, match="another amazon-defender-cloudwatch runs with the state in"):
        open_service()
    (tmp_path / "state").rename(tmp_path / "before")
    (tmp_path / "state").write_text("")
    with pytest.raises(StateError, match="cannot be used: "):
        open_service()
