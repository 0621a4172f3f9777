from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3")

from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.sending import THING, Place, read_sending, refuse_colons  # noqa: E402

PATH = Path("fleet.json")
JOURNAL = {"logs_collected": {"journal": True}}


def logs(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    files = [{"file_path": "/var/log/app.log", **entry} for entry in entries]
    return {"logs": {"logs_collected": {"files": {"collect_list": files}}, **more}}


def test_what_is_sent_is_what_the_program_on_the_devices_reads_in_the_same_file() -> None:
    collected = {"files": {"collect_list": [{"file_path": "/var/log/a.log"}]}, "journal": {"units": ["ssh.service"]}}
    config = {"metrics": {"namespace": "Lab"}, "logs": {"logs_collected": collected, "retention_in_days": 7}}
    sending = read_sending(config, PATH)
    default = "/system/default/{instance_id}"
    assert ("Lab", 7, (Place(default, None), Place(default, "journal"))) == (
        *(sending.namespace, sending.retention),
        sending.places,
    )
    assert {"/system/default/rpi-0001": "rpi-0001"} == sending.groups("rpi-0001")
    assert (f"log-group:/system/default/{THING}:*",) == sending.resources


def test_a_group_of_all_things_is_confined_to_streams_of_their_own() -> None:
    entry = {"log_group_name": "/fleet/all", "log_stream_name": "{thing_name}/app"}
    sending = read_sending(logs(entry), PATH)
    assert {"/fleet/all": ""} == sending.groups("rpi-0001")
    assert (f"log-group:/fleet/all:log-stream:{THING}/app",) == sending.resources


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "fleet.json says nothing that amazon-defender-cloudwatch would send: give metrics.namespace, or logs"),
        ({"logs": {"logs_collected": {"journal": {"collect": False}}}}, "fleet.json says nothing that"),
        ({"metrics": {"namespace": "AWS/EC2"}}, 'metrics.namespace must be 1 to 255 .* got "AWS/EC2"'),
        ({"metrics": {"namespace": ""}}, "metrics.namespace must be 1 to 255"),
        ({"logs": {**JOURNAL, "retention_in_days": 8}}, "logs.retention_in_days must be one of 1, 3, .*, got 8"),
        ({"logs": {**JOURNAL, "log_group_name": "/a/{hostname}"}}, "must not have {hostname}, which deploy.py cannot"),
        ({"logs": {**JOURNAL, "log_group_name": "/a/{thing_nam}"}}, 'got "/a/{thing_nam}".*did you mean "?thing_name'),
        ({"logs": {**JOURNAL, "log_group_name": "/all"}}, "must have {thing_name} in it, or log_stream_name must"),
        ({"logs": {**JOURNAL, "log_group_name": "a:{thing_name}"}}, "logs.log_group_name must be 1 to 512"),
        ({"logs": {**JOURNAL, "log_group_name": "x" * 400 + "{thing_name}"}}, "with a thing's name in it"),
        (logs({"log_stream_name": "a*b"}), "log_stream_name must be 1 to 512 characters"),
        (
            logs({"log_group_name": "/a/{x}"}),
            r"logs.logs_collected.files.collect_list\[0\].log_group_name must have no",
        ),
        ({"logs": {"logs_collectd": {}}}, "fleet.json: logs.logs_collectd is not"),
        (
            {
                "agent": {"authentication": {"credentials": {"endpoint": "c1", "role_alias": "own"}}},
                "metrics": {"namespace": "Lab"},
            },
            "agent.authentication.credentials must not be given, because --cloudwatch puts",
        ),
    ],
)
def test_what_cannot_be_confined_to_a_thing_is_told_in_one_sentence(config: dict[str, Any], says: str) -> None:
    with pytest.raises(DeployError, match=says) as error:
        read_sending(config, PATH)
    assert 1 == len(str(error.value).splitlines())


def test_all_problems_are_told_together_and_each_once() -> None:
    config = logs({}, {}, log_group_name="/all", retention_in_days=8)
    with pytest.raises(DeployError) as error:
        read_sending(config, PATH)
    assert 2 == len(str(error.value).splitlines())


def test_a_thing_with_a_colon_can_send_metrics_but_no_logs() -> None:
    refuse_colons(read_sending({"metrics": {"namespace": "Lab"}}, PATH), ("lab:1",))
    with pytest.raises(DeployError, match=r"^lab:1, lab:2: a thing that sends logs must have no : in its name"):
        refuse_colons(read_sending({"logs": JOURNAL}, PATH), ("lab:1", "rpi", "lab:2"))
