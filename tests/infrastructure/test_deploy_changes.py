"""./deploy.py on a fleet that lives on: alerts come and go, stacks fill up, hands meddle, and machines disagree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infrastructure.placement import THINGS_PER_STACK
from tests.fakes.emulator import ROOT, Account, Emulator
from tests.infrastructure.deployment import DEPLOY, Machine, certificate_of, members_of
from tests.plain_python import PLAIN_PYTHON
from tests.waiting import wait_until

FLEET, THINGS, MORE, DETECT = (
    f"amazon-defender-publisher-{part}" for part in ("fleet", "things-1", "things-2", "detect")
)
MAIL = "somebody@example.com"


def profile_of(account: Account, name: str) -> Any:
    return account.client("iot").describe_security_profile(securityProfileName=name)


def subscriptions_of(account: Account) -> list[str]:
    return [each["Endpoint"] for each in account.client("sns").list_subscriptions()["Subscriptions"]]


@pytest.mark.slow
def test_alerts_stay_until_they_are_ended(machine: Machine) -> None:
    machine.list("rpi-0001").deploy("--yes", "--alert-email", MAIL)
    assert [MAIL] == subscriptions_of(machine.account)
    target = profile_of(machine.account, "cpu-usage")["alertTargets"]["SNS"]
    assert machine.account.snapshot()["topics"] == [target["alertTargetArn"]]
    (role,) = machine.account.client("iam").list_roles()["Roles"]
    assert role["Arn"] == target["roleArn"]
    assert "iot.amazonaws.com" in str(role["AssumeRolePolicyDocument"])
    machine.account.forget_calls()
    assert (0, {}) == (machine.deploy().status, machine.account.writes())
    run = machine.deploy("--yes", "--alert-email", "")
    assert (0, "") == (run.status, run.errors), run.text
    assert "alertTargets" not in profile_of(machine.account, "cpu-usage")
    assert [] == machine.account.snapshot()["topics"] + machine.account.client("iam").list_roles()["Roles"]


@pytest.mark.slow
def test_without_detect_its_stack_is_left_as_it_is(machine: Machine) -> None:
    machine.list("rpi-0001").deploy("--yes")
    run = machine.list("rpi-0001", "rpi-0002").deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert ["cpu-usage", "network-metrics", "silence"] == machine.account.snapshot()["profiles"]
    assert {DETECT: "CREATE_COMPLETE", THINGS: "UPDATE_COMPLETE"}.items() <= machine.account.snapshot()[
        "stacks"
    ].items()


def numbered(count: int) -> list[str]:
    return [f"rpi-{number:04d}" for number in range(1, count + 1)]


@pytest.mark.slow
def test_a_thing_stays_in_its_stack_and_one_stack_that_fails_holds_up_no_other(machine: Machine) -> None:
    names = numbered(THINGS_PER_STACK + 3)
    machine.account.fail("iot:CreateThing", "InternalFailureException", "An unexpected error", 500, names[-1])
    run = machine.list(*names).deploy("--yes", "--no-detect")
    assert 1 == run.status
    assert MORE in run.sentence
    stacks = machine.account.snapshot()["stacks"]
    assert ("CREATE_COMPLETE", "ROLLBACK_COMPLETE") == (stacks[THINGS], stacks[MORE])
    assert names[:THINGS_PER_STACK] == members_of(machine.account)
    assert THINGS_PER_STACK == len(list((machine.directory / "fleet").glob("*.tar")))
    machine.account.mend()
    run = machine.deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert names == members_of(machine.account)
    before = {name: certificate_of(machine.account, name) for name in names}
    wanted = [*reversed(names[1:]), "new-1", "new-2"]
    run = machine.list(*wanted).deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert sorted(wanted) == members_of(machine.account)
    for name in names[1:]:
        assert before[name] == certificate_of(machine.account, name), name
    assert len(wanted) == len(machine.account.snapshot()["certificates"])
    machine.account.forget_calls()
    assert (0, {}) == (machine.deploy("--no-detect").status, machine.account.writes())


@pytest.mark.slow
def test_a_stack_whose_last_thing_is_gone_is_deleted(machine: Machine) -> None:
    names = numbered(THINGS_PER_STACK + 1)
    machine.list(*names).deploy("--yes", "--no-detect")
    run = machine.list(*names[:-1]).deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert f"{MORE} is deleted" in run.output
    assert {FLEET, THINGS} == set(machine.account.snapshot()["stacks"])


@pytest.mark.slow
def test_a_rotation_that_was_killed_is_ended_by_the_next_run(machine: Machine) -> None:
    machine.list("rpi-0001").deploy("--yes", "--no-detect")
    old = certificate_of(machine.account, "rpi-0001")
    machine.account.slow_stacks(1)
    process = machine.start("--yes", "--no-detect", "--rotate", "rpi-0001")
    assert wait_until(lambda: machine.account.snapshot()["stacks"][THINGS] == "UPDATE_IN_PROGRESS")
    process.kill()
    process.communicate()
    assert wait_until(lambda: machine.account.snapshot()["stacks"][THINGS] == "UPDATE_COMPLETE")
    assert old != certificate_of(machine.account, "rpi-0001")
    run = machine.deploy("--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert 0 == machine.install("rpi-0001").publish().returncode
    assert not list((machine.directory / "fleet").rglob("*.new"))


@pytest.mark.slow
def test_a_rotation_that_was_killed_and_one_that_fails_after_it_lose_no_key(machine: Machine) -> None:
    machine.list("rpi-0001").deploy("--yes", "--no-detect")
    machine.account.slow_stacks(1)
    process = machine.start("--yes", "--no-detect", "--rotate", "rpi-0001")
    assert wait_until(lambda: machine.account.snapshot()["stacks"][THINGS] == "UPDATE_IN_PROGRESS")
    process.kill()
    process.communicate()
    assert wait_until(lambda: machine.account.snapshot()["stacks"][THINGS] == "UPDATE_COMPLETE")
    machine.account.mend()
    deployed = certificate_of(machine.account, "rpi-0001")
    machine.account.fail("iot:AttachThingPrincipal", "InternalFailureException", "An unexpected error", 500)
    assert 1 == machine.deploy("--yes", "--no-detect", "--rotate", "rpi-0001").status
    machine.account.mend()
    run = machine.deploy("--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert deployed == certificate_of(machine.account, "rpi-0001")
    assert 0 == machine.install("rpi-0001").publish().returncode


@pytest.mark.slow
def test_a_machine_without_the_key_can_rotate_and_the_first_one_is_told(
    machine: Machine, account: Account, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine.list("rpi-0001").deploy("--yes", "--no-detect")
    second = Machine(tmp_path_factory.mktemp("second"), account).list("rpi-0001")
    run = second.deploy("--yes", "--no-detect", "--rotate", "rpi-0001")
    assert (0, "") == (run.status, run.errors), run.text
    assert 0 == second.install("rpi-0001").publish().returncode
    run = machine.deploy("--no-detect")
    assert "no bundle 1: rpi-0001" in run.output
    assert "--bundle" not in run.output
    assert not machine.install("rpi-0001").client().connect()


@pytest.mark.slow
def test_a_machine_that_lost_its_certificates_and_bundles_makes_them_again_of_its_keys(machine: Machine) -> None:
    machine.list("rpi-0001").deploy("--yes", "--no-detect")
    files = machine.files()
    for path in ("rpi-0001.tar", "rpi-0001/certificate.pem", "rpi-0001/request.csr"):
        (machine.directory / "fleet" / path).unlink()
    run = machine.deploy("--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert files == machine.files()


@pytest.mark.slow
def test_after_a_destruction_the_same_keys_are_deployed_again(machine: Machine) -> None:
    machine.list("rpi-0001").deploy("--yes", "--no-detect")
    key, certificate = machine.files()["rpi-0001/private.key"], certificate_of(machine.account, "rpi-0001")
    machine.deploy("--yes", "--destroy")
    run = machine.deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert key == machine.files()["rpi-0001/private.key"]
    assert certificate != certificate_of(machine.account, "rpi-0001")
    assert 0 == machine.install("rpi-0001").publish().returncode


@pytest.mark.slow
def test_a_fleet_whose_metric_another_one_uses_is_destroyed_but_for_that_metric(
    machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    second = Machine(tmp_path_factory.mktemp("second"), machine.account).list("gate-1")
    machine.list("rpi-0001").deploy("--yes")
    second.deploy("--yes", "--prefix", "gates")
    run = machine.deploy("--yes", "--destroy")
    assert (0, "") == (run.status, run.errors), run.text
    found = machine.account.snapshot()
    assert (["gate-1"], ["cpu_usage"]) == (found["things"], found["metrics"])
    assert ["gates-cpu-usage", "gates-network-metrics", "gates-silence"] == found["profiles"]
    machine.account.forget_calls()
    assert (0, {}) == (second.deploy("--prefix", "gates").status, machine.account.writes())
    run = machine.deploy("--yes")
    assert (0, "") == (run.status, run.errors), run.text


@pytest.mark.slow
def test_a_certificate_of_somebody_elses_that_has_the_fleets_policy_does_not_hold_up_its_end(machine: Machine) -> None:
    machine.list("rpi-0001").deploy("--yes", "--no-detect")
    iot = machine.account.client("iot")
    other = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_policy(policyName="amazon-defender-publisher", target=other["certificateArn"])
    run = machine.deploy("--yes", "--destroy")
    assert (0, "") == (run.status, run.errors), run.text
    assert other["certificateId"] in run.output
    assert [other["certificateId"]] == machine.account.snapshot()["certificates"]
    assert [] == machine.account.snapshot()["policies"]


@pytest.mark.slow
def test_another_region_is_another_fleet(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> None:
    machine.list("rpi-0001").deploy("--yes", "--no-detect")
    run = machine.deploy("--yes", "--no-detect", "--region", "us-west-2", "--output", "west")
    assert (0, "") == (run.status, run.errors), run.text
    west = Machine(machine.directory, machine.account.elsewhere("us-west-2"))
    assert ["rpi-0001"] == members_of(west.account) == members_of(machine.account)
    assert certificate_of(west.account, "rpi-0001") != certificate_of(machine.account, "rpi-0001")
    assert 0 == west.install("rpi-0001", "west").publish().returncode
    assert ["us-west-2"] == [report["region"] for report in machine.account.reports()]


@pytest.mark.slow
def test_what_is_half_destroyed_is_not_deployed_to_before_that_is_ended(machine: Machine) -> None:
    machine.list("rpi-0001").deploy("--yes", "--no-detect")
    machine.account.deny("iot:DeletePolicy")
    run = machine.deploy("--yes", "--destroy")
    assert (1, "DELETE_FAILED") == (run.status, machine.account.snapshot()["stacks"][FLEET])
    assert "iot:DeletePolicy" in run.sentence
    assert [] == machine.account.snapshot()["groups"]
    machine.account.mend()
    run = machine.deploy("--yes", "--no-detect")
    assert 1 == run.status
    assert f"aws cloudformation delete-stack --stack-name {FLEET}" in run.sentence
    assert 0 == machine.deploy("--yes", "--destroy").status
    run = machine.deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert ["rpi-0001"] == members_of(machine.account)
    assert 0 == machine.install("rpi-0001").publish().returncode


@pytest.mark.slow
@pytest.mark.parametrize("what", ["group", "policy"])
def test_a_group_or_a_policy_that_was_deleted_by_hand_is_named(machine: Machine, what: str) -> None:
    machine.list("rpi-0001").deploy("--yes", "--no-detect")
    iot, name = machine.account.client("iot"), "amazon-defender-publisher"
    if what == "group":
        iot.delete_thing_group(thingGroupName=name)
    else:
        certificate = certificate_of(machine.account, "rpi-0001")
        target = f"arn:aws:iot:{machine.account.region}:{machine.account.id}:cert/{certificate}"
        iot.detach_policy(policyName=name, target=target)
        iot.delete_policy(policyName=name)
    run = machine.deploy("--yes", "--no-detect")
    assert 1 == run.status
    assert f"the {'thing group' if what == 'group' else 'policy'} {name}" in run.sentence
    assert "rpi-0001 does not exist" not in run.text
    assert "All is as wished" not in run.output


@pytest.mark.slow
@pytest.mark.parametrize("action", ["iot:DeleteThing", "iot:DeleteCertificate"])
def test_what_could_not_be_deleted_is_said(machine: Machine, action: str) -> None:
    machine.list("rpi-0001", "rpi-0002").deploy("--yes", "--no-detect")
    machine.account.deny(action)
    rotate = ["--rotate", "rpi-0001"] if action == "iot:DeleteCertificate" else []
    run = machine.list("rpi-0001", *(["rpi-0002"] if rotate else [])).deploy("--yes", "--no-detect", *rotate)
    assert 1 == run.status
    assert f"the permission {action} is missing" in run.sentence
    assert "All is as wished" not in run.output
    assert machine.install("rpi-0001").client().connect()  # its bundle is the new one, for the update was made


def test_an_output_directory_that_is_a_file_is_said_before_anything_is_deployed(machine: Machine) -> None:
    (machine.directory / "fleet").write_text("")
    run = machine.list("rpi-0001").deploy("--yes", "--no-detect")
    assert 1 == run.status
    assert "fleet" in run.sentence
    assert {} == machine.account.writes()


def test_what_is_missing_on_the_machine_is_said_with_the_command_that_brings_it(
    emulator: Emulator, tmp_path: Path
) -> None:
    for script in (DEPLOY, ROOT / "defender_start.py"):
        shutil.copy(script, tmp_path)
    shutil.copytree(ROOT / "infrastructure", tmp_path / "infrastructure", ignore=shutil.ignore_patterns("__pycache__"))
    command = [PLAIN_PYTHON, "-S", str(tmp_path / "deploy.py"), "--plan"]  # -S: without what pip installed
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert 1 == done.returncode
    assert "Traceback" not in done.stderr
    assert "aws-cdk-lib" in done.stderr
    assert f"install -r {tmp_path}/infrastructure/requirements.txt" in done.stderr


@pytest.mark.skipif(sys.version_info >= (3, 10), reason="is for Pythons older than 3.10")
def test_on_an_older_python_it_says_which_one_it_needs(tmp_path: Path) -> None:
    command = [sys.executable, str(DEPLOY), "--plan"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert 1 == done.returncode
    assert "deploy.py needs Python 3.10 or later" in done.stderr
    assert 1 == len(done.stderr.splitlines())


def test_without_node_it_says_so(machine: Machine) -> None:
    run = machine.list("rpi-0001").deploy("--plan", JSII_NODE="/nonexistent/node")
    assert 1 == run.status
    assert "Node" in run.sentence


@pytest.mark.slow
def test_a_list_that_was_cut_short_ends_no_fleet_however_often_a_script_agrees(machine: Machine) -> None:
    things = [f"rpi-{number:04}" for number in range(4)]
    machine.list(*things).deploy("--yes", "--no-detect")
    machine.list(things[0]).account.forget_calls()
    run = machine.deploy("--yes", "--no-detect")
    assert 1 == run.status
    assert "3 of 4 things are no longer listed" in run.sentence
    assert "--delete-at-most 3" in run.sentence
    assert {} == machine.account.writes()
    run = machine.deploy("--yes", "--no-detect", "--delete-at-most", "3")
    assert (0, "") == (run.status, run.errors), run.text
    assert [things[0]] == machine.account.snapshot()["things"]


def test_what_a_profile_will_do_is_in_the_plan(machine: Machine) -> None:
    plan = machine.list("rpi-0001").deploy("--plan")
    assert "profile   cpu-usage, new" in plan.output
    assert "processors-not-busy: alarms when cpu_usage is above 75, 3 times in a row" in plan.output
    assert "metrics   1: cpu_usage (a number), new" in plan.output
