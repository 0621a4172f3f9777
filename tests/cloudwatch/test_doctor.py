"""The doctor finds what keeps metrics and logs from arriving, and what to do about it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from defender_cloudwatch import doctor
from defender_cloudwatch.config import read_settings
from defender_daemon.ladder import FAIL, NOT_TRIED, OK, Step, is_well
from demo.authority import Authority
from tests.cloudwatch.doubles import ALIAS, Double, Request, answer_as_provider, provider_context

DENIED = "User: arn:aws:sts::1:assumed-role/r/c is not authorized to perform: {} on resource: arn:aws:logs:x"


class Aws(Double):
    """An API that answers as AWS does where all is well, but for the operations in `refuse`."""

    def __init__(self) -> None:
        super().__init__(self.well)
        self.refuse: dict[str, dict[str, str]] = {}
        self.operations: list[str] = []

    def well(self, request: Request, client: str) -> tuple[int, Any]:
        operation = request.headers.get("x-amz-target", "").rpartition(".")[2]
        self.operations.append(operation)
        return (400, self.refuse[operation]) if operation in self.refuse else (200, {})


@pytest.fixture
def aws() -> Iterator[Aws]:
    with Aws() as aws:
        yield aws


@pytest.fixture
def provider(authority: Authority) -> Iterator[Double]:
    with Double(answer_as_provider, provider_context(authority)) as provider:
        yield provider


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FIRST_RATES", 0.05)


class Device:
    """A device whose configuration is well; a test spoils it."""

    def __init__(self, directory: Path, authority: Authority, aws: Aws, provider: Double) -> None:
        files = authority.issue("rpi-0001", not_before=datetime.now(timezone.utc) - timedelta(days=1))
        self.directory, self.aws = directory, aws
        self.log = directory / "a.log"
        self.log.write_text("one\n")
        given = {"endpoint": f"localhost:{provider.port}", "role_alias": ALIAS}
        self.authentication: dict[str, Any] = {
            "certificate": str(files.certificate), "private_key": str(files.private_key),
            "root_ca": str(authority.certificate), "credentials": given,
        }  # fmt: skip
        self.agent = {"thing_name": "rpi-0001", "region": "eu-west-1", "state_directory": str(directory / "state")}
        self.metrics = {"namespace": "System/X"}
        self.logs = {"logs_collected": {"files": {"collect_list": [{"file_path": str(self.log)}]}}}

    def examined(self, clock: float = 0.0) -> dict[str, Step]:
        """Return what the doctor finds while the clock is so many seconds ahead."""
        path = self.directory / "config.json"
        agent = {**self.agent, "authentication": self.authentication}
        path.write_text(json.dumps({"agent": agent, "metrics": self.metrics, "logs": self.logs}))
        environment = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.aws.port}", "HOME": str(self.directory)}
        case = doctor.Case(path, lambda: read_settings(path, environment, files=False), lambda: time.time() + clock)
        return {step.rung: step for step in doctor.examine(case)}


@pytest.fixture
def device(tmp_path: Path, authority: Authority, aws: Aws, provider: Double) -> Device:
    return Device(tmp_path, authority, aws, provider)


def failed(steps: dict[str, Step]) -> Step:
    (step,) = [each for each in steps.values() if each.verdict == FAIL]
    assert not is_well(list(steps.values()))
    return step


def test_where_all_is_well_every_check_passes_and_nothing_is_kept(device: Device) -> None:
    steps = device.examined()
    assert {OK} == {step.verdict for step in steps.values()}, steps
    assert f"by the role alias {ALIAS}, valid until " in steps["credentials"].says
    assert "/system/default/rpi-0001" == steps["log group"].says
    assert steps["metrics"].says.endswith(" values in System/X")
    assert "1 files" == steps["logs"].says
    assert not (device.directory / "state").exists()
    assert ["", "CreateLogStream", "PutLogEvents", "GetLogEvents", "PutMetricData"] == device.aws.operations


def test_in_a_log_group_of_all_things_a_log_has_its_own_stream_written(device: Device) -> None:
    """Whoever shares a log group may have no other stream by its policy, as `./deploy.py --cloudwatch` makes them."""
    (entry,) = device.logs["logs_collected"]["files"]["collect_list"]  # type: ignore[index]
    entry.update(log_group_name="/fleet/all", log_stream_name="{thing_name}/app")
    steps = device.examined()
    assert ("/fleet/all", "written to and read from rpi-0001/app") == (
        steps["log group"].says,
        steps["log events"].says,
    )


def test_a_clock_that_is_fifteen_minutes_off_is_said_with_the_word(device: Device) -> None:
    for clock, says in ((900.0, "ahead of"), (-900.0, "behind")):
        step = failed(device.examined(clock))
        assert "AWS" == step.rung
        assert f"this device's clock is 900 s {says} AWS's" in step.says.replace("899", "900").replace("901", "900")
        assert "timedatectl" in step.advice


def test_a_permission_that_is_missing_is_named(device: Device) -> None:
    for operation, rung in (("CreateLogStream", "log group"), ("GetLogEvents", "log events")):
        message = DENIED.format(f"logs:{operation}")
        device.aws.refuse = {operation: {"__type": "AccessDeniedException", "message": message}}
        step = failed(device.examined())
        assert rung == step.rung
        assert f"the role's policy must allow logs:{operation} on arn:aws:logs:x" in step.says
        assert "change the role's policy" in step.advice


def test_a_role_alias_that_is_not_there_is_the_credentials_fault(device: Device) -> None:
    device.authentication["credentials"]["role_alias"] = "other"
    assert "credentials" == failed(device.examined()).rung


def test_a_certificate_that_has_expired_is_found_before_anybody_is_asked(device: Device, authority: Authority) -> None:
    files = authority.issue_expired("rpi-0001")
    device.authentication.update(certificate=str(files.certificate), private_key=str(files.private_key))
    step = failed(device.examined())
    assert "valid today" == step.rung
    assert "expired on" in step.says
    assert [] == device.aws.operations


def test_a_key_of_another_certificate_is_found(device: Device, authority: Authority) -> None:
    device.authentication["private_key"] = str(authority.issue("other").private_key)
    assert "belong together" == failed(device.examined()).rung


def test_a_key_that_is_not_there_is_found(device: Device) -> None:
    device.authentication["private_key"] = "/nowhere/private.key"
    assert "key and certificate" == failed(device.examined()).rung


def test_nobody_there_is_a_matter_of_the_network(device: Device, free_port: int) -> None:
    device.aws.port = free_port
    step = failed(device.examined())
    assert ("AWS", f"127.0.0.1:{free_port} cannot be reached: Connection refused") == (step.rung, step.says)


def test_a_log_that_cannot_be_read_is_said_after_everything_else(device: Device) -> None:
    device.log.unlink()
    os.mkfifo(device.log)
    device.logs["logs_collected"]["files"]["collect_list"][0]["file_path"] = str(device.directory / "?.log")  # type: ignore[index]
    good = device.directory / "b.log"
    good.write_text("one\n")
    assert "1 files" == device.examined()["logs"].says
    device.logs["logs_collected"]["files"]["collect_list"].append({"file_path": "/proc/self/mem/x"})  # type: ignore[attr-defined]
    step = failed(device.examined())
    assert "logs" == step.rung
    assert "/proc/self/mem/x cannot be read: Not a directory" in step.says
    assert "groups adm and systemd-journal" in step.advice


def test_what_is_not_configured_is_not_tried(device: Device) -> None:
    device.logs, device.authentication = {}, {}
    device.agent["state_directory"] = str(device.directory)
    (device.directory / ".aws").mkdir()
    (device.directory / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = A\naws_secret_access_key = b\n"
    )
    steps = device.examined()
    assert ["key and certificate", "belong together", "valid today", "log group", "log events", "logs"] == [
        step.rung for step in steps.values() if step.verdict == NOT_TRIED
    ]
    assert is_well(list(steps.values()))


def test_a_configuration_that_cannot_be_used_is_the_first_check(device: Device) -> None:
    device.metrics = {"namespace": "AWS/X"}
    step = failed(device.examined())
    assert "config" == step.rung
    assert "not begin with AWS/" in step.says


def test_a_disk_that_is_full_is_why_no_log_is_sent(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    (device.directory / "state").mkdir()
    real = os.statvfs

    def full(path: str) -> Any:
        found = real(path)
        return os.statvfs_result((*found[:4], 0, *found[5:]))

    monkeypatch.setattr(os, "statvfs", full)
    step = failed(device.examined())
    assert "state directory" == step.rung
    assert "is full" in step.says
