"""./deploy.py from end to end: what is listed is there afterwards, each device reports, and nothing else is touched."""

from __future__ import annotations

import hashlib
import io
import json
import re
import ssl
import stat
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fakes.emulator import ROOT, Account, Emulator
from tests.infrastructure.deployment import Machine, Run, certificate_of, members_of

NOTHING = {
    "things": [],
    "certificates": [],
    "policies": [],
    "groups": [],
    "metrics": [],
    "profiles": [],
    "role_aliases": [],
    "log_groups": [],
    "templates": [],
    "rules": [],
    "functions": [],
    "tables": [],
    "buckets": [],
    "components": [],
    "deployments": [],
    "topics": [],
    "stacks": {},
}
FLEET = "amazon-defender-publisher"
TOPIC = "$aws/things/{}/defender/metrics/json"
PRIVATE = "PRIVATE KEY"


class Deployed(NamedTuple):
    """A fleet of two, and what was said when it was deployed."""

    machine: Machine
    run: Run


@pytest.fixture(scope="module")
def fleet(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """One fleet for all who look at it, or do what changes nothing of it."""
    machine = Machine(tmp_path_factory.mktemp("deployer"), emulator.account()).list("rpi-0001", "rpi-0002")
    run = machine.run("--yes")
    assert (0, "") == (run.status, run.errors), run.text
    return Deployed(machine, run)


def test_a_bundle_makes_a_device_report_and_keeps_it_to_its_own_topics(fleet: Deployed) -> None:
    machine = fleet.machine
    device = machine.install("rpi-0001")
    published = device.publish()
    assert 0 == published.returncode, published.stdout + published.stderr
    (report,) = machine.account.reports()
    assert ("rpi-0001", True) == (report["thing"], report["accepted"])
    assert {"cpu_usage"} == set(report["report"]["custom_metrics"])
    for forbidden in (TOPIC.format("rpi-0002"), "$aws/things/rpi-0001/shadow/update", "anything"):
        client = device.client()
        assert client.connect()
        assert not client.publish(forbidden, "{}")
    for filter_ in (TOPIC.format("rpi-0002") + "/accepted", TOPIC.format("+") + "/accepted", "#"):
        client = device.client()
        assert client.connect()
        assert not client.subscribe(filter_)
    assert not device.client("rpi-0002").connect()
    assert 1 == len(machine.account.reports())


def test_everything_that_is_wished_is_there_and_tagged(fleet: Deployed) -> None:
    machine, run = fleet
    account, iot = machine.account, machine.account.client("iot")
    found = account.snapshot()
    assert ["rpi-0001", "rpi-0002"] == found["things"] == members_of(account)
    assert sorted(certificate_of(account, thing) for thing in found["things"]) == found["certificates"]
    assert [FLEET] == found["policies"] == found["groups"]
    assert ["cpu_usage"] == found["metrics"]
    assert ["cpu-usage", "network-metrics", "silence"] == found["profiles"]
    assert {"CREATE_COMPLETE"} == set(found["stacks"].values())
    group = iot.describe_thing_group(thingGroupName=FLEET)["thingGroupArn"]
    for profile in found["profiles"]:
        targets = iot.list_targets_for_security_profile(securityProfileName=profile)["securityProfileTargets"]
        assert [group] == [target["arn"] for target in targets]
    tagged = [
        group,
        iot.get_policy(policyName=FLEET)["policyArn"],
        iot.describe_custom_metric(metricName="cpu_usage")["metricArn"],
        *(iot.describe_security_profile(securityProfileName=name)["securityProfileArn"] for name in found["profiles"]),
    ]
    for arn in tagged:
        assert {"Key": FLEET, "Value": FLEET} in iot.list_tags_for_resource(resourceArn=arn)["tags"]
    for thing in found["things"]:
        assert re.search(rf"scp fleet/(install-)?{thing}\.(tar|bash) {thing}:", run.output)
    assert iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"] in run.output


def test_keys_and_bundles_are_for_the_deployers_eyes_only_and_no_key_is_printed(fleet: Deployed) -> None:
    machine, run = fleet
    assert PRIVATE not in run.text
    for path in (machine.directory / "fleet", *(machine.directory / "fleet").rglob("*")):
        expected = 0o700 if path.is_dir() else 0o600
        assert expected == stat.S_IMODE(path.stat().st_mode), path
    with tarfile.open(machine.directory / "fleet" / "rpi-0001.tar") as bundle:
        members = {member.name: member.mode for member in bundle}
        config = json.load(bundle.extractfile("amazon-defender-publisher.json") or io.BytesIO())
        roots = (bundle.extractfile("roots.pem") or io.BytesIO()).read()
    expected = {"amazon-defender-publisher.json", "certificate.pem", "private.key", "roots.pem"}
    assert expected == set(members)
    assert 0o600 == members["private.key"]
    endpoint = machine.account.client("iot").describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    assert ("rpi-0001", endpoint) == (config["agent"]["thing_name"], config["agent"]["authentication"]["endpoint"])
    assert (ROOT / "defender_publisher" / "roots" / "amazon-root-ca.pem").read_bytes() == roots
    pem = (machine.directory / "fleet" / "rpi-0001" / "certificate.pem").read_text()
    found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    assert certificate_of(machine.account, "rpi-0001") == found


def test_a_second_run_changes_nothing_and_asks_little(fleet: Deployed) -> None:
    machine = fleet.machine
    before, files = machine.account.snapshot(), machine.files()
    machine.account.forget_calls()
    run = machine.run()  # nothing to agree to
    assert (0, "") == (run.status, run.errors), run.text
    assert "Everything is up to date." in run.output
    calls = machine.account.calls()
    assert {} == machine.account.writes()
    assert sum(calls.values()) <= 10, calls
    assert "cloudformation:CreateChangeSet" not in calls
    assert "describing what changes" not in run.output  # no synth
    assert (before, files) == (machine.account.snapshot(), machine.files())


def plan(machine: Machine, *arguments: str) -> str:
    """Return what a plan says, which changes nothing in the account or on the machine."""
    before, files = machine.account.snapshot(), machine.files()
    machine.account.forget_calls()
    run = machine.deploy("--plan", *arguments)
    assert (0, "") == (run.status, run.errors), run.text
    assert {} == machine.account.writes()
    assert (before, files) == (machine.account.snapshot(), machine.files())
    return run.output


def test_a_plan_in_an_empty_account_changes_nothing(machine: Machine) -> None:
    assert "new       2: rpi-0002, rpi-0003" in plan(machine.list("rpi-0002", "rpi-0003"))


def test_a_plan_for_a_fleet_names_what_comes_and_goes_and_changes_nothing(fleet: Deployed) -> None:
    output = plan(fleet.machine.list("rpi-0002", "rpi-0003"))
    fleet.machine.list("rpi-0001", "rpi-0002")
    assert "rpi-0003" in output
    assert "gone      1: rpi-0001" in output


def test_a_plan_to_destroy_a_fleet_changes_nothing(fleet: Deployed) -> None:
    plan(fleet.machine, "--destroy")


@pytest.mark.slow
def test_what_is_listed_no_longer_is_deleted_after_it_was_shown(machine: Machine) -> None:
    machine.list("rpi-0001", "rpi-0002").deploy("--yes")
    gone, kept = machine.install("rpi-0001"), machine.install("rpi-0002")
    certificate = certificate_of(machine.account, "rpi-0002")
    run = machine.list("rpi-0002", "rpi-0003").deploy("--yes")
    assert (0, "") == (run.status, run.errors), run.text
    assert run.output.index("gone      1: rpi-0001") < run.output.index("describing")
    assert ["rpi-0002", "rpi-0003"] == machine.account.snapshot()["things"] == members_of(machine.account)
    assert certificate == certificate_of(machine.account, "rpi-0002")
    assert not gone.client().connect()
    assert kept.client().connect()


def test_without_a_terminal_and_without_yes_nothing_is_done(machine: Machine) -> None:
    run = machine.list("rpi-0001").deploy()
    assert 1 == run.status
    assert "--yes" in run.sentence
    assert NOTHING == machine.account.snapshot()
    assert {} == machine.files()


@pytest.mark.slow
def test_rotation_cuts_the_old_certificate_off_and_nobody_else(machine: Machine) -> None:
    machine.list("rpi-0001", "rpi-0002").deploy("--yes")
    old, other = machine.install("rpi-0001"), machine.install("rpi-0002")
    before = certificate_of(machine.account, "rpi-0002")
    assert old.client().connect()
    run = machine.deploy("--yes", "--rotate", "rpi-0001")
    assert (0, "") == (run.status, run.errors), run.text
    assert "cut off" in run.output.lower()
    assert not old.client().connect()
    assert other.client().connect()
    assert before == certificate_of(machine.account, "rpi-0002")
    assert 2 == len(machine.account.snapshot()["certificates"])
    old.directory.rename(old.directory.with_name("before"))
    new = machine.install("rpi-0001")
    assert 0 == new.publish().returncode
    assert [True] == [report["accepted"] for report in machine.account.reports()]
    assert not list((machine.directory / "fleet").rglob("*.new"))


def test_destroying_leaves_nothing_in_the_account_and_the_keys_on_the_machine(machine: Machine) -> None:
    machine.list("rpi-0001", "rpi-0002").deploy("--yes", "--alert-email", "somebody@example.com")
    assert 1 == len(machine.account.snapshot()["topics"])
    files = machine.files()
    run = machine.deploy("--destroy", "--yes")
    assert (0, "") == (run.status, run.errors), run.text
    assert NOTHING == machine.account.snapshot()
    assert 3 == machine.account.calls()["cloudformation:DeleteStack"]  # at the first attempt, in the right order
    assert [] == machine.account.client("iam").list_roles()["Roles"]
    assert files == machine.files()
    again = machine.deploy("--destroy", "--yes")
    assert (0, "") == (again.status, again.errors)


@pytest.mark.slow
def test_a_redeploy_replaces_no_certificate_and_a_second_machine_nothing_at_all(
    machine: Machine, account: Account, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine.list("rpi-0001").deploy("--yes", "--no-detect")
    certificate, files = certificate_of(account, "rpi-0001"), machine.files()
    second = Machine(tmp_path_factory.mktemp("second"), account).list("rpi-0001", "rpi-0002")
    run = second.deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert "no bundle 1: rpi-0001" in run.output
    assert {"rpi-0002", "rpi-0002.tar"} == {path.partition("/")[0] for path in second.files()}
    assert certificate == certificate_of(account, "rpi-0001")
    run = machine.list("rpi-0002", "rpi-0001").deploy("--yes", "--no-detect")  # the other order
    assert "no bundle 1: rpi-0002" in run.output
    assert (0, files) == (run.status, machine.files())
    assert certificate == certificate_of(account, "rpi-0001")


@pytest.mark.slow
def test_two_fleets_share_an_account_and_cpu_usage(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> None:
    first, account = machine.list("rpi-0001"), machine.account
    second = Machine(tmp_path_factory.mktemp("second"), account).list("gate-1")
    assert 0 == first.deploy("--yes").status
    run = second.deploy("--yes", "--prefix", "gates")
    assert (0, "") == (run.status, run.errors), run.text
    found = account.snapshot()
    assert ["gate-1", "rpi-0001"] == found["things"]
    assert [
        "cpu-usage",
        "gates-cpu-usage",
        "gates-network-metrics",
        "gates-silence",
        "network-metrics",
        "silence",
    ] == found["profiles"]
    assert ["cpu_usage"] == found["metrics"]
    assert ["gate-1"] == members_of(account, "gates")
    assert 0 == second.install("gate-1").publish().returncode
    assert 0 == second.deploy("--yes", "--prefix", "gates", "--destroy").status
    assert ["rpi-0001"] == account.snapshot()["things"] == members_of(account)
    assert ["cpu_usage"] == account.snapshot()["metrics"]
    account.forget_calls()
    assert (0, {}) == (first.deploy().status, account.writes())


@pytest.mark.slow
def test_the_installers_run_from_the_directory_that_deploy_py_prints(machine: Machine) -> None:
    run = machine.list("rpi-0001").deploy("--yes", "--no-detect", "--output", "my fleet")
    assert re.search(r"scp 'my fleet/(install-)?rpi-0001\.(tar|bash)' rpi-0001:", run.output)
    assert Path(machine.directory, "my fleet", "rpi-0001.tar").exists()
