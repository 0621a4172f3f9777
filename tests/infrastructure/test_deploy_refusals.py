"""./deploy.py ends with exit status 1 and one clear sentence, whatever is in its way, and says what to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.emulator import Account, Emulator
from tests.infrastructure.claimant import unpack
from tests.infrastructure.deployment import Machine, certificate_of, members_of
from tests.infrastructure.test_deploy import NOTHING
from tests.infrastructure.test_deploy_greengrass import add_core, build

FLEET, THINGS, DETECT = (f"amazon-defender-publisher-{part}" for part in ("fleet", "things-1", "detect"))
CLAIM_POLICY = Path(__file__).resolve().parent.parent.parent / "infrastructure" / "deployer-claim-policy.json"
POLICY = Path(__file__).resolve().parent.parent.parent / "infrastructure" / "deployer-policy.json"
LINES = 1  # of the sentence
PRIVATE_KEY = "PRIVATE KEY"


def refuse(machine: Machine, *arguments: str, lines: int = LINES, **environment: str) -> str:
    """Deploy what cannot be deployed, and return the sentence; nothing was written."""
    run = machine.deploy(*arguments, **environment)
    assert 1 == run.status, run.text
    assert lines == len(run.sentence.splitlines()), run.sentence
    assert run.sentence.startswith("deploy.py: ")
    return run.sentence


@pytest.fixture
def listed(machine: Machine) -> Machine:
    return machine.list("rpi-0001")


def test_no_region(listed: Machine) -> None:
    sentence = refuse(listed, "--plan", AWS_REGION="", AWS_DEFAULT_REGION="")
    assert "region" in sentence
    assert "AWS_REGION" in sentence


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_both_variables_of_the_region_are_read(listed: Machine, variable: str) -> None:
    nowhere = {"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}
    run = listed.deploy("--plan", **{**nowhere, variable: "ap-south-1"})
    assert 0 == run.status, run.text
    assert "region    ap-south-1" in run.output


def test_the_option_for_the_region_wins(listed: Machine) -> None:
    assert "region    us-west-2" in listed.deploy("--plan", "--region", "us-west-2").output


def test_no_credentials(listed: Machine) -> None:
    sentence = refuse(listed, "--plan", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert "credentials" in sentence
    assert "AWS_PROFILE" in sentence


def test_a_profile_that_does_not_exist(listed: Machine) -> None:
    assert "nobody" in refuse(listed, "--plan", "--profile", "nobody")


def test_expired_credentials(listed: Machine) -> None:
    listed.account.expire_credentials()
    assert "the AWS credentials have expired: renew them" in refuse(listed, "--plan")


def test_unknown_credentials(listed: Machine) -> None:
    listed.account.refuse_credentials()
    assert "does not know these credentials" in refuse(listed, "--plan")


def test_no_network(listed: Machine, free_port: int) -> None:
    sentence = refuse(listed, "--plan", AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port}")
    assert "cannot be reached" in sentence


OFTEN, SELDOM = (
    ["iot:DescribeEndpoint"],
    [
        "iot:CreateThing",
        "cloudformation:CreateChangeSet",
        "cloudformation:DescribeStacks",
        "cloudformation:ExecuteChangeSet",
        "iot:AddThingToThingGroup",
        "iot:AttachThingPrincipal",
        "iot:CreateCertificateFromCsr",
        "iot:CreatePolicy",
        "iot:DescribeCertificate",
        "iot:DescribeThing",
        "iot:ListCertificates",
        "iot:ListThingsInThingGroup",
    ],
)


@pytest.mark.parametrize("action", [*OFTEN, *(pytest.param(each, marks=pytest.mark.slow) for each in SELDOM)])
def test_a_missing_permission_is_named_and_so_is_whom_to_ask(listed: Machine, action: str) -> None:
    listed.account.deny(action)
    run = listed.deploy("--yes", "--no-detect")
    assert 1 == run.status
    assert f"the permission {action} is missing" in run.sentence
    assert "infrastructure/deployer-policy.json" in run.sentence
    assert PRIVATE_KEY not in run.text
    listed.account.mend()
    run = listed.deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert ["rpi-0001"] == members_of(listed.account)
    assert certificate_of(listed.account, "rpi-0001") in listed.account.snapshot()["certificates"]


@pytest.mark.slow
@pytest.mark.parametrize("action", ["iot:CreateCustomMetric", "iot:CreateSecurityProfile", "iot:DescribeCustomMetric"])
def test_a_missing_permission_for_detect_is_not_taken_for_its_end(listed: Machine, action: str) -> None:
    listed.account.deny(action)
    run = listed.deploy("--yes")
    assert 1 == run.status
    assert f"the permission {action} is missing" in run.sentence
    assert "amazon-defender-detect" not in run.sentence
    assert ["rpi-0001"] == members_of(listed.account)


def close_with_other_words(account: Account) -> None:
    for action in ("iot:CreateCustomMetric", "iot:CreateSecurityProfile"):
        account.fail(action, "AccessDeniedException", "Access to this feature is denied for this account", 403)


def close_for_questions_too(account: Account) -> None:
    for action in ("DescribeCustomMetric", "ValidateSecurityProfileBehaviors", "DescribeSecurityProfile"):
        account.fail(f"iot:{action}", "InvalidRequestException", "Detect is not available to new customers.")


@pytest.mark.parametrize(
    "close",
    [
        Account.close_detect,
        pytest.param(close_with_other_words, marks=pytest.mark.slow),
        pytest.param(close_for_questions_too, marks=pytest.mark.slow),
    ],
)
def test_where_detect_is_closed_everything_else_is_done_and_said(
    listed: Machine, close: Callable[[Account], None]
) -> None:
    close(listed.account)
    run = listed.deploy("--yes")
    assert 1 == run.status
    for words in ("closed Detect to new customers", "amazon-defender-detect", "--no-detect"):
        assert words in run.sentence
    assert "All is as wished" not in run.output
    found = listed.account.snapshot()
    assert (["rpi-0001"], [], []) == (found["things"], found["metrics"], found["profiles"])
    assert ["rpi-0001"] == members_of(listed.account)
    assert 0 == listed.install("rpi-0001").publish().returncode
    certificate = certificate_of(listed.account, "rpi-0001")
    run = listed.deploy("--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert certificate == certificate_of(listed.account, "rpi-0001")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(None, ["things.txt"], id="missing"),
        pytest.param("# nothing\n\n", ["things.txt"], id="empty"),
        pytest.param("good\na b\n" + "x" * 129 + "\ngood\nGOOD\n", ["line 2", "line 3", "line 4", "line 5"], id="all"),
        pytest.param("bad/name\n", ["line 1", "bad/name"], id="a name that is a path"),
    ],
)
def test_what_is_wrong_with_the_list_is_said_with_all_line_numbers(
    machine: Machine, content: str | None, expected: list[str]
) -> None:
    if content is not None:
        (machine.directory / "things.txt").write_text(content)
    run = machine.deploy("--yes")
    assert 1 == run.status
    for words in expected:
        assert words in run.sentence
    assert {} == machine.account.calls()


@pytest.mark.slow
def test_a_name_of_128_characters_is_deployed_and_reports(machine: Machine) -> None:
    thing = "x" * 120 + "-:_Y0000"
    run = machine.list(thing).deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert 0 == machine.install(thing).publish().returncode


@pytest.mark.slow
def test_a_busy_stack(listed: Machine) -> None:
    listed.account.slow_stacks(15)  # so that the second is there in time on a slow machine, too
    first = listed.start("--yes", "--no-detect")
    stacks: dict[str, Any] = {}
    while stacks.get(FLEET) != "CREATE_IN_PROGRESS":
        stacks = listed.account.snapshot()["stacks"]
    listed.account.mend()
    run = listed.deploy("--yes", "--no-detect")
    assert f"{FLEET}: another deployment is under way (CREATE_IN_PROGRESS); waiting for it to end" in run.output
    _, errors = first.communicate(timeout=60)
    # Both go on to the next stack then, and one of them may have to let the other.
    assert 0 in (first.returncode, run.status)
    assert all("another deployment is under way" in each for each in (errors, run.errors) if each)


@pytest.mark.slow
def test_a_creation_that_failed_is_rolled_back_and_made_again_the_next_time(listed: Machine) -> None:
    listed.account.fail("iot:CreateThing", "InternalFailureException", "An unexpected error has occurred", 500)
    run = listed.deploy("--yes")
    assert 1 == run.status
    assert "An unexpected error has occurred" in run.sentence
    assert "ROLLBACK_COMPLETE" == listed.account.snapshot()["stacks"][THINGS]
    assert [] == listed.account.snapshot()["certificates"]
    keys = {path: content for path, content in listed.files().items() if "private.key" in path}
    listed.account.mend()
    plan = listed.deploy("--plan")
    assert f"{THINGS} failed to create earlier; it will be deleted and created again" in plan.output
    run = listed.deploy("--yes")
    assert (0, "") == (run.status, run.errors), run.text
    assert f"{THINGS} failed to create earlier; it will be deleted and created again" in run.output
    assert set(keys.values()) <= set(listed.files().values())  # the key was used, not another one made
    assert 0 == listed.install("rpi-0001").publish().returncode


@pytest.mark.slow
def test_an_update_that_failed_leaves_what_was_there_with_its_certificate(machine: Machine) -> None:
    machine.list("rpi-0001").deploy("--yes", "--no-detect")
    files, certificate = machine.files(), certificate_of(machine.account, "rpi-0001")
    machine.account.fail("iot:CreateThing", "InternalFailureException", "An unexpected error", 500, "rpi-0002")
    run = machine.list("rpi-0001", "rpi-0002").deploy("--yes", "--no-detect")
    assert 1 == run.status
    assert "rpi-0002" in run.text
    assert files.items() <= machine.files().items()
    assert certificate == certificate_of(machine.account, "rpi-0001")
    machine.account.mend()
    run = machine.deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert 0 == machine.install("rpi-0002").publish().returncode


@pytest.mark.slow
def test_a_rotation_that_failed_leaves_the_old_key_with_the_old_certificate(machine: Machine) -> None:
    machine.list("rpi-0001").deploy("--yes", "--no-detect")
    files, certificate = machine.files(), certificate_of(machine.account, "rpi-0001")
    machine.account.fail("iot:AttachThingPrincipal", "InternalFailureException", "An unexpected error", 500)
    run = machine.deploy("--yes", "--no-detect", "--rotate", "rpi-0001")
    assert 1 == run.status
    assert files.items() <= machine.files().items()
    assert certificate == certificate_of(machine.account, "rpi-0001")
    assert machine.install("rpi-0001").client().connect()
    machine.account.mend()
    run = machine.deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert "no bundle" not in run.output
    assert files.items() <= machine.files().items()


def test_a_thing_that_exists_outside_the_fleet_is_left_alone(machine: Machine) -> None:
    machine.account.client("iot").create_thing(thingName="rpi-0002")
    sentence = refuse(machine.list("rpi-0001", "rpi-0002"), "--yes")
    assert "rpi-0002" in sentence
    assert "exists" in sentence
    assert ["rpi-0002"] == machine.account.snapshot()["things"]
    assert {} == machine.account.snapshot()["stacks"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["metric", "metric of another type", "profile"])
def test_a_metric_or_a_profile_that_exists_outside_holds_up_detect_only(listed: Machine, kind: str) -> None:
    iot = listed.account.client("iot")
    if kind == "profile":
        iot.create_security_profile(securityProfileName="cpu-usage", behaviors=[])
    else:
        metric_type = "number" if kind == "metric" else "string-list"
        iot.create_custom_metric(metricName="cpu_usage", metricType=metric_type, clientRequestToken="x")
    run = listed.deploy("--yes")
    assert 1 == run.status
    assert "exists in this account" in run.sentence
    assert ("cpu-usage" if kind == "profile" else "cpu_usage") in run.sentence
    assert ["rpi-0001"] == members_of(listed.account)
    assert 0 == listed.install("rpi-0001").publish().returncode


@pytest.mark.slow
@pytest.mark.parametrize("what", ["policy", "group"])
def test_a_policy_or_a_group_that_exists_outside_is_named(listed: Machine, what: str) -> None:
    iot, name = listed.account.client("iot"), "amazon-defender-publisher"
    if what == "policy":
        iot.create_policy(policyName=name, policyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}))
    else:
        iot.create_thing_group(thingGroupName=name)
    run = listed.deploy("--yes")
    assert 1 == run.status
    assert name in run.sentence
    assert "exist" in run.sentence
    assert [] == listed.account.snapshot()["things"]


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["deleted", "inactive", "detached"])
def test_what_was_changed_by_hand_is_named_and_repaired_by_rotation(machine: Machine, damage: str) -> None:
    machine.list("rpi-0001", "rpi-0002").deploy("--yes", "--no-detect")
    iot, certificate = machine.account.client("iot"), certificate_of(machine.account, "rpi-0001")
    arn = f"arn:aws:iot:{machine.account.region}:{machine.account.id}:cert/{certificate}"
    if damage in ("deleted", "inactive"):
        iot.update_certificate(certificateId=certificate, newStatus="INACTIVE")
    if damage in ("deleted", "detached"):
        iot.detach_policy(policyName="amazon-defender-publisher", target=arn)
    if damage == "deleted":
        iot.detach_thing_principal(thingName="rpi-0001", principal=arn)
        iot.delete_certificate(certificateId=certificate)
    sentence = refuse(machine, "--no-detect")
    assert "rpi-0001" in sentence
    assert damage in sentence.lower()
    assert "rpi-0002" not in sentence
    run = machine.deploy("--yes", "--no-detect", "--rotate", "rpi-0001")
    assert (0, "") == (run.status, run.errors), run.text
    assert 0 == machine.install("rpi-0001").publish().returncode
    assert (0, "") == ((run := machine.deploy("--no-detect")).status, run.errors)


@pytest.mark.slow
def test_a_thing_that_left_the_group_by_hand_joins_again(machine: Machine) -> None:
    machine.list("rpi-0001", "rpi-0002").deploy("--yes", "--no-detect")
    group = {"thingGroupName": "amazon-defender-publisher", "thingName": "rpi-0002"}
    machine.account.client("iot").remove_thing_from_thing_group(**group)
    run = machine.deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert ["rpi-0001", "rpi-0002"] == members_of(machine.account)


@pytest.mark.slow
def test_throttling_is_waited_for(machine: Machine) -> None:
    for action in ("iot:AddThingToThingGroup", "cloudformation:DescribeStacks", "iot:DescribeCertificate"):
        machine.account.throttle(action, times=3)
    run = machine.list("rpi-0001").deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text


@pytest.mark.parametrize("thing", ["rpi-0009", "rpi-0001"])
def test_only_a_deployed_thing_can_be_rotated(machine: Machine, thing: str) -> None:
    assert thing in refuse(machine.list("rpi-0001"), "--yes", "--rotate", thing)


@pytest.mark.slow
@pytest.mark.skipif(not POLICY.exists(), reason="there is no infrastructure/deployer-policy.json yet")
def test_the_policy_for_deployers_is_enough_for_all_that_a_fleet_needs(machine: Machine, emulator: Emulator) -> None:
    iam = machine.account.client("iam")
    iam.create_user(UserName="deployer")
    for name, path in (("deploy", POLICY), ("claim", CLAIM_POLICY)):
        iam.put_user_policy(UserName="deployer", PolicyName=name, PolicyDocument=path.read_text())
    key = iam.create_access_key(UserName="deployer")["AccessKey"]
    who = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    deployer = Machine(machine.directory, machine.account, who).list("rpi-0001", "rpi-0002")
    logs = {"log_group_name": "/fleet/{thing_name}", "retention_in_days": 30, "logs_collected": {"journal": True}}
    deployer = deployer.configure(logs=logs, metrics={"namespace": "Lab"})
    build(deployer)
    add_core(machine.account, "core-1")
    for arguments in (
        ["--alert-email", "somebody@example.com"],
        ["--cloudwatch"],
        ["--rotate", "rpi-0001"],
        ["--things", "fewer.txt"],
        ["--no-cloudwatch"],
        ["--cloudwatch"],
        ["--greengrass", "core-1"],
        ["--no-greengrass"],
        ["--greengrass", "core-1"],
        ["--claim", "--serials", "serials.txt"],
        ["--end-claims"],
        ["--claim"],
        ["--claim", "--serials", "others.txt", "--delete-at-most", "9"],
        ["--destroy", "--delete-at-most", "9"],
    ):
        Path(machine.directory, "fewer.txt").write_text("rpi-0002\nrpi-0003\n")
        Path(machine.directory, "serials.txt").write_text("dev-1\ndev-2\n")
        Path(machine.directory, "others.txt").write_text("dev-1 again\ndev-3\n")
        if "--destroy" in arguments:
            assert "accepted" == unpack(deployer).provision("dev-3")[0]
            assert 0 == deployer.deploy("--yes", "--rotate", "dev-3").status
        run = deployer.deploy("--yes", *arguments)
        assert 0 == run.status, run.text
    assert {**NOTHING, "things": ["core-1"]} == machine.account.snapshot()
