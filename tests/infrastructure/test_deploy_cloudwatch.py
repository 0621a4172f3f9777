"""./deploy.py --cloudwatch from end to end: a device sends to what is its own by its certificate, and nowhere else."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployment import Machine
from tests.infrastructure.test_deploy import NOTHING

FLEET = "amazon-defender-publisher"
GROUP = "/fleet/{thing_name}"
EVERYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


def logs_of(path: Path, group: str = GROUP, **more: Any) -> dict[str, Any]:
    entry = {"file_path": str(path), "from": "start"}
    return {"log_group_name": group, "logs_collected": {"files": {"collect_list": [entry]}}, **more}


@pytest.fixture
def sending(machine: Machine) -> Machine:
    """A machine whose devices are to send a log, kept for 30 days, and metrics."""
    (machine.directory / "app.log").write_text("one\n")
    logs = logs_of(machine.directory / "app.log", retention_in_days=30)
    return machine.configure(logs=logs, metrics={"namespace": "Lab"}).list("rpi-0001", "rpi-0002")


def config_of(machine: Machine, thing: str) -> Any:
    with tarfile.open(machine.directory / "fleet" / f"{thing}.tar") as bundle:
        return json.load(bundle.extractfile("amazon-defender-publisher.json") or io.BytesIO())


def role_of(machine: Machine) -> Any:
    (role,) = machine.account.client("iam").list_roles()["Roles"]
    return role


def test_a_device_sends_to_its_own_group_by_its_certificate_and_a_second_run_changes_nothing(sending: Machine) -> None:
    run = sending.deploy("--yes", "--no-detect", "--cloudwatch")
    assert (0, "") == (run.status, run.errors), run.text
    assert "sends     metrics to Lab; CloudWatch charges for each metric" in run.output
    assert "sends     logs to /fleet/{thing_name}, kept for 30 days" in run.output
    assert "log group 2: /fleet/rpi-0001, /fleet/rpi-0002 (new)" in run.output
    assert " --cloudwatch && rm " in run.output  # the installer's option
    found = sending.account.snapshot()
    assert ([FLEET], ["/fleet/rpi-0001", "/fleet/rpi-0002"]) == (found["role_aliases"], found["log_groups"])
    credentials = config_of(sending, "rpi-0001")["agent"]["authentication"]["credentials"]
    endpoint = sending.account.client("iot").describe_endpoint(endpointType="iot:CredentialProvider")
    assert {"endpoint": endpoint["endpointAddress"], "role_alias": FLEET} == credentials
    device = sending.install("rpi-0001")
    sent = device.send()
    assert 0 == sent.returncode, sent.stderr
    logs = sending.account.client("logs")
    events = logs.get_log_events(logGroupName="/fleet/rpi-0001", logStreamName="app.log")["events"]
    assert ["one"] == [each["message"] for each in events]
    assert sending.account.client("cloudwatch").list_metrics(Namespace="Lab")["Metrics"]
    before, files = sending.account.snapshot(), sending.files()
    sending.account.forget_calls()
    run = sending.deploy("--no-detect")  # which keeps it
    assert (0, "") == (run.status, run.errors), run.text
    assert "describing what changes" not in run.output
    assert ({}, before, files) == (sending.account.writes(), sending.account.snapshot(), sending.files())


@pytest.mark.slow
def test_a_device_cannot_send_to_what_is_anothers(sending: Machine) -> None:
    sending.deploy("--yes", "--no-detect", "--cloudwatch")
    device = sending.install("rpi-0001")
    config = device.directory / "amazon-defender-publisher.json"
    document = json.loads(config.read_text())
    document["logs"]["log_group_name"] = "/fleet/rpi-0002"
    del document["metrics"]
    config.write_text(json.dumps(document))
    sent = device.send()
    assert 1 == sent.returncode
    assert "log-group:/fleet/rpi-0002" in sent.stderr
    document["logs"] |= {"log_group_name": "/fleet/rpi-0001", "logs_collected": {"journal": False}}
    document["metrics"] = {"namespace": "Other"}
    config.write_text(json.dumps(document))
    assert "must allow cloudwatch:PutMetricData" in device.send().stderr


@pytest.mark.slow
def test_giving_cloudwatch_up_leaves_nothing_of_it_and_so_does_destroying(sending: Machine) -> None:
    sending.deploy("--yes", "--no-detect", "--cloudwatch")
    run = sending.deploy("--yes", "--no-detect", "--no-cloudwatch")
    assert (0, "") == (run.status, run.errors), run.text
    assert "log group 2: /fleet/rpi-0001, /fleet/rpi-0002 (DELETED with all that is in them)" in run.output
    found = sending.account.snapshot()
    assert [] == found["role_aliases"] + found["log_groups"] + sending.account.client("iam").list_roles()["Roles"]
    assert "credentials" not in config_of(sending, "rpi-0001")["agent"]["authentication"]
    policy = sending.account.client("iot").get_policy(policyName=FLEET)["policyDocument"]
    assert "AssumeRole" not in str(policy)
    sending.account.forget_calls()
    assert (0, {}) == (sending.deploy("--no-detect").status, sending.account.writes())
    sending.deploy("--yes", "--no-detect", "--cloudwatch")
    run = sending.deploy("--yes", "--destroy")
    assert (0, "") == (run.status, run.errors), run.text
    assert "log group 2: /fleet/rpi-0001, /fleet/rpi-0002 (deleted with all that is in them)" in run.output
    assert NOTHING == sending.account.snapshot()
    assert [] == sending.account.client("iam").list_roles()["Roles"]


@pytest.mark.slow
def test_groups_come_and_go_with_things_and_are_not_lost_for_another_name_without_a_word(sending: Machine) -> None:
    sending.deploy("--yes", "--no-detect", "--cloudwatch")
    run = sending.list("rpi-0002", "rpi-0003").deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert ["/fleet/rpi-0002", "/fleet/rpi-0003"] == sending.account.snapshot()["log_groups"]
    sending.configure(logs=logs_of(sending.directory / "app.log", "/other/{instance_id}"))
    run = sending.deploy("--yes", "--no-detect")
    assert 1 == run.status
    assert "the old ones of 2 things would be deleted" in run.sentence
    assert "--delete-at-most 2" in run.sentence
    assert ["/fleet/rpi-0002", "/fleet/rpi-0003"] == sending.account.snapshot()["log_groups"]
    run = sending.deploy("--yes", "--no-detect", "--delete-at-most", "2")
    assert (0, "") == (run.status, run.errors), run.text
    assert ["/other/rpi-0002", "/other/rpi-0003"] == sending.account.snapshot()["log_groups"]
    assert "PutMetricData" not in str(role_policy(sending))


def role_policy(machine: Machine) -> Any:
    iam, name = machine.account.client("iam"), role_of(machine)["RoleName"]
    return iam.get_role_policy(RoleName=name, PolicyName="send")["PolicyDocument"]


@pytest.mark.parametrize(
    ("hand", "says"),
    [
        (
            lambda machine: machine.account.client("iot").delete_role_alias(roleAlias=FLEET),
            "was deleted by hand: `aws iot",
        ),
        (
            lambda machine: machine.account.client("iot").update_role_alias(
                roleAlias=FLEET, roleArn=role_of(machine)["Arn"] + "x"
            ),
            "was changed by hand and leads to",
        ),
        (
            lambda machine: machine.account.client("logs").delete_log_group(logGroupName="/fleet/rpi-0001"),
            "the log group /fleet/rpi-0001 was deleted by hand: `aws logs create-log-group",
        ),
        (
            lambda machine: machine.account.client("logs").delete_retention_policy(logGroupName="/fleet/rpi-0001"),
            "keeps its events for ever: `aws logs put-retention-policy",
        ),
        (
            lambda machine: machine.account.client("iam").put_role_policy(
                RoleName=role_of(machine)["RoleName"], PolicyName="send", PolicyDocument=EVERYTHING
            ),
            "was changed by hand, and allows other things than deployed: `aws cloudformation delete-stack",
        ),
    ],
    ids=["alias deleted", "alias led astray", "group deleted", "kept for ever", "role widened"],
)
@pytest.mark.slow
def test_what_was_changed_by_hand_is_found_and_said_how_to_repair(sending: Machine, hand: Any, says: str) -> None:
    sending.deploy("--yes", "--no-detect", "--cloudwatch")
    hand(sending)
    run = sending.deploy("--no-detect")
    assert 1 == run.status
    assert says in run.sentence
    assert f"drift     {run.sentence.strip().removeprefix('deploy.py: ')}" in run.output


@pytest.mark.slow
def test_a_role_that_was_deleted_by_hand_comes_back_and_no_log_is_lost(sending: Machine) -> None:
    sending.deploy("--yes", "--no-detect", "--cloudwatch")
    iam, name = sending.account.client("iam"), role_of(sending)["RoleName"]
    iam.delete_role_policy(RoleName=name, PolicyName="send")
    iam.delete_role(RoleName=name)
    run = sending.deploy("--no-detect")
    assert 1 == run.status
    assert "or its policy, was deleted by hand: `aws cloudformation delete-stack" in run.sentence
    sending.account.client("cloudformation").delete_stack(StackName=f"{FLEET}-cloudwatch")
    run = sending.deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert ["/fleet/rpi-0001", "/fleet/rpi-0002"] == sending.account.snapshot()["log_groups"]
    assert 0 == sending.install("rpi-0001").send().returncode


def test_a_log_group_that_is_there_already_is_not_taken(sending: Machine) -> None:
    sending.account.client("logs").create_log_group(logGroupName="/fleet/rpi-0002")
    sending.account.forget_calls()
    run = sending.deploy("--yes", "--no-detect", "--cloudwatch")
    assert 1 == run.status
    assert "the log group /fleet/rpi-0002 exists in this account already, outside this fleet" in run.sentence
    assert "aws logs delete-log-group --log-group-name /fleet/rpi-0002" in run.sentence
    assert {} == sending.account.writes()


def test_a_configuration_that_says_nothing_to_send_is_told_what_to_write(machine: Machine) -> None:
    run = machine.list("rpi-0001").deploy("--yes", "--no-detect", "--cloudwatch")
    assert 1 == run.status
    assert 1 == len(run.sentence.splitlines())
    assert "says nothing that amazon-defender-cloudwatch would send: give metrics.namespace, or logs" in run.sentence
    assert {} == machine.account.writes()


@pytest.mark.slow
def test_a_permission_for_cloudwatch_that_is_missing_is_named_and_the_rest_is_done(sending: Machine) -> None:
    sending.account.deny("iot:CreateRoleAlias")
    run = sending.deploy("--yes", "--no-detect", "--cloudwatch")
    assert 1 == run.status
    assert "the permission iot:CreateRoleAlias is missing" in run.sentence
    assert ["rpi-0001", "rpi-0002"] == sending.account.snapshot()["things"]
    sending.account.mend()
    run = sending.deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
