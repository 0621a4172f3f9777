"""The program by the device's certificate: from AWS IoT's credentials provider to CloudWatch."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cloudwatch.asking import answer
from tests.fakes.device import Device
from tests.fakes.emulator import Account

GROUP = "/system/rpi/rpi-0001"


@pytest.fixture
def device(account: Account, tmp_path: Path) -> Device:
    device = Device(account, tmp_path)
    device.allow_cloudwatch()
    (tmp_path / "app.log").write_text("one\ntwo\n")
    return device


def send_once(device: Device, directory: Path, group: str = GROUP, **sections: Any) -> subprocess.CompletedProcess[str]:
    """Run the program once; what it has of AWS is the endpoint of the emulator, and no credentials."""
    agent = {"thing_name": device.name, "state_directory": str(directory / "state"), "region": device.account.region}
    files = {"files": {"collect_list": [{"file_path": str(directory / "app.log"), "from": "start"}]}}
    logs = {"logs_collected": files, "log_group_name": group}
    config = directory / "config.json"
    config.write_text(
        json.dumps({"agent": {**agent, "authentication": device.authentication}, "logs": logs, **sections})
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    return answer("--once", config, environment={**kept, "AWS_ENDPOINT_URL": device.account.emulator.url})


def test_a_device_sends_lines_and_metrics_with_nothing_but_its_certificate(device: Device, tmp_path: Path) -> None:
    device.account.client("logs").create_log_group(logGroupName=GROUP)
    done = send_once(device, tmp_path, metrics={"namespace": "Lab"})
    assert 0 == done.returncode, done.stderr
    found = device.account.client("logs").get_log_events(logGroupName=GROUP, logStreamName="app.log")["events"]
    assert ["one", "two"] == [each["message"] for each in found]
    assert device.account.client("cloudwatch").list_metrics(Namespace="Lab")["Metrics"]
    assert {("rpi-0001", 200)} == {(each["thing"], each["status"]) for each in device.account.credentials()}


@pytest.mark.parametrize(
    ("group", "namespace", "missing"),
    [
        ("/system/rpi/rpi-0002", "Lab", "logs:PutLogEvents on arn:aws:logs:"),
        (GROUP, "Other", "cloudwatch:PutMetricData"),
    ],
)
def test_another_things_log_group_and_another_namespace_are_denied(
    device: Device, tmp_path: Path, group: str, namespace: str, missing: str
) -> None:
    device.account.client("logs").create_log_group(logGroupName=group)
    done = send_once(device, tmp_path, group, metrics={"namespace": namespace})
    assert 1 == done.returncode
    assert f"the role's policy must allow {missing}" in done.stderr


def test_a_certificate_without_the_permission_is_told_which_is_missing(device: Device, tmp_path: Path) -> None:
    iot = device.account.client("iot")
    iot.detach_policy(policyName="rpi-0001-device-cloudwatch", target=device.arn)
    done = send_once(device, tmp_path)
    assert 1 == done.returncode
    assert "must allow iot:AssumeRoleWithCertificate on rolealias/device-cloudwatch" in done.stderr
