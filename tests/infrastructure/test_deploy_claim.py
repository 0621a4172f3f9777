"""./deploy.py --claim from end to end: devices with one claim become things of their own, and can do nothing else."""

from __future__ import annotations

import io
import json
import re
import resource
import stat
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.fakes.emulator import Emulator
from tests.infrastructure.claimant import (
    COMMITTED,
    CSR,
    FLEET,
    REGISTER,
    ROTATE,
    Claimant,
    Machinery,
    Pair,
    place,
    unpack,
)
from tests.infrastructure.deployment import Machine, Run, certificate_of, members_of
from tests.infrastructure.test_deploy import NOTHING
from tests.waiting import wait_until

INSTANCE = {"publish_interval": 300, "instance": {"prefix": "pi", "command": "cat serial"}}
SERIALS = ("dev-1", "dev-2", "dev-3", "dev-4", "dev-5", "dev-6", "dev-7", "A1")
REPORT = "$aws/things/{}/defender/metrics/json"
SHADOW = "$aws/things/{}/shadow/name/rotation/update/delta"


class Claimed(NamedTuple):
    """A fleet whose devices provision themselves, and what was said when it was deployed."""

    machine: Machine
    run: Run
    device: Claimant


def write(machine: Machine, *lines: str) -> None:
    (machine.directory / "serials.txt").write_text("".join(f"{line}\n" for line in lines))


def deploy(machine: Machine, *arguments: str) -> Run:
    run = machine.deploy("--yes", "--no-detect", *arguments)
    assert (0, "") == (run.status, run.errors), run.text
    return run


def claim(machine: Machine, *serials: str) -> Run:
    write(machine, *serials)
    return deploy(machine, "--claim", "--serials", "serials.txt")


@pytest.fixture(scope="module")
def fleet(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Claimed:
    """One fleet for all who provision a device of their own in it; one thing is made here, as ever."""
    machine = Machine(tmp_path_factory.mktemp("claim"), emulator.account()).configure(agent=INSTANCE).list("rpi-0001")
    run = claim(machine, *SERIALS)
    return Claimed(machine, run, unpack(machine))


def rows_of(machine: Machine, *arguments: str) -> str:
    """Return what a plan says, which changes nothing."""
    machine.account.forget_calls()
    run = machine.deploy("--plan", "--no-detect", *arguments)
    assert ((0, ""), {}) == ((run.status, run.errors), machine.account.writes()), run.text
    return run.output


def test_a_claim_is_for_the_deployers_eyes_only_and_no_key_is_printed(fleet: Claimed) -> None:
    machine, run, _ = fleet
    assert "PRIVATE KEY" not in run.text
    assert f"stack     {FLEET}-claim is created" in run.output
    assert "serials   8 in serials.txt: 8 new" in run.output
    assert re.search(r"make .*kit BUNDLES=\S*fleet/claim.tar\n  sudo bash install-claim.bash", run.output)
    for path in (machine.directory / "fleet" / "claim.tar", *(machine.directory / "fleet" / "claim.d").iterdir()):
        assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    with tarfile.open(machine.directory / "fleet" / "claim.tar") as bundle:
        modes = {member.name: member.mode for member in bundle}
        config = json.load(bundle.extractfile("amazon-defender-publisher.json") or io.BytesIO())
    expected = {"amazon-defender-publisher.json": 0o644, "claim-certificate.pem": 0o644, "claim-private.key": 0o600}
    assert {**expected, "roots.pem": 0o644} == modes
    assert "thing_name" not in config["agent"]
    assert INSTANCE["instance"] == config["agent"]["instance"]
    expected_paths = {"certificate": "certificate.pem", "private_key": "private.key", "root_ca": "roots.pem"}
    endpoint = machine.account.client("iot").describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    assert {**expected_paths, "endpoint": endpoint} == config["agent"]["authentication"]
    names = {"template": FLEET, "rotation_template": ROTATE}
    files = {"claim_certificate": "claim-certificate.pem", "claim_private_key": "claim-private.key"}
    assert {**names, **files} == config["agent"]["provisioning"]


def test_a_device_registers_once_and_reports_and_a_second_run_changes_nothing(fleet: Claimed) -> None:
    machine, _, device = fleet
    verdict, document, pair = device.provision("dev-1")
    assert ("accepted", {"deviceConfiguration": {}, "thingName": "dev-1"}) == (verdict, document)
    assert (pair.certificate_id, "ACTIVE") == (certificate_of(machine.account, "dev-1"), device.status(pair))
    assert "dev-1" in members_of(machine.account)
    client = device.as_thing("dev-1", pair)
    assert client.connect()
    assert client.publish(REPORT.format("dev-1"), "{}")
    before, files = machine.account.snapshot(), machine.files()
    machine.account.forget_calls()
    for arguments in ([], ["--claim"], ["--claim", "--serials", "serials.txt"]):
        run = machine.deploy("--no-detect", *arguments)
        assert (0, "") == (run.status, run.errors), run.text
        assert re.search(r"progress  \d of 8 listed devices have provisioned themselves; the last: .*dev-1", run.output)
        assert "describing what changes" not in run.output
    assert ({}, before, files) == (machine.account.writes(), machine.account.snapshot(), machine.files())


def test_a_registration_goes_on_where_it_was_and_a_thing_of_another_serial_is_refused(fleet: Claimed) -> None:
    _, _, device = fleet
    pair = device.certify(device.claim("dev-2"), "dev-2")  # and the connection is lost
    assert "PENDING_ACTIVATION" == device.status(pair)
    verdict, document = device.register(device.claim("dev-2"), pair, "dev-1", "dev-2")
    assert ("rejected", "AccessDenied") == (verdict, document["errorCode"])
    verdict, document = device.register(device.claim("dev-2"), pair, "pi-dev-2", "dev-2")
    assert ("accepted", "pi-dev-2") == (verdict, document["thingName"])
    verdict, document = device.provision("dev-2", keys="another")[:2]  # another name for the same serial
    assert ("rejected", "AccessDenied") == (verdict, document["errorCode"])
    assert "accepted" == device.provision("pi-a1", "A1")[0]  # in lower case, as devices make names of serials


def test_who_is_not_listed_or_has_a_thing_is_refused_and_the_plan_says_so(fleet: Claimed) -> None:
    machine, _, device = fleet
    verdict, document, pair = device.provision("stranger")
    assert ("rejected", "AccessDenied", 403) == (verdict, document["errorCode"], document["statusCode"])
    assert ("PENDING_ACTIVATION", False) == (device.status(pair), "stranger" in machine.account.snapshot()["things"])
    assert "accepted" == device.provision("dev-3")[0]
    assert "rejected" == device.provision("dev-3", keys="copy")[0]
    assert "rejected" == device.provision("rpi-0001")[0]  # whose key was made on the machine
    assert 1 == len(machine.account.client("iot").list_thing_principals(thingName="rpi-0001")["principals"])
    assert "rejected" == device.provision("nobody", " refused")[0]  # where refusals are noted
    said = rows_of(machine)
    assert re.search(r"refused   \d+ times; the last:", said)
    assert 'UTC serial "dev-3" as "dev-3": it has a thing already; list it again' in said
    assert 'UTC serial "rpi-0001" as "rpi-0001": the serial is not listed' in said


@pytest.mark.parametrize(
    ("topic", "filter_"),
    [
        (REPORT.format("rpi-0001"), REPORT.format("rpi-0001") + "/accepted"),
        (REPORT.format("claim-dev-4"), "#"),
        (REGISTER.format("another"), REGISTER.format("another") + "/accepted"),
        (REGISTER.format(ROTATE), REGISTER.format(ROTATE) + "/accepted"),
        ("$aws/certificates/create/json", "$aws/certificates/create/json/accepted"),
        (COMMITTED.format("rpi-0001"), SHADOW.format("rpi-0001")),
        ("anything", CSR.replace("create-from-csr", "+") + "/accepted"),
    ],
    ids=["another's report", "a report", "another template", "rotation", "a key of AWS's", "a shadow", "anything"],
)
def test_a_claim_certificate_can_do_nothing_else(fleet: Claimed, topic: str, filter_: str) -> None:
    device = fleet.device
    assert not device.claim("dev-4").publish(topic, "{}")
    assert not device.claim("dev-4").subscribe(filter_)


@pytest.mark.parametrize("client_id", ["dev-4", "rpi-0001", "sys-claim", "Claim-dev-4"])
def test_a_claim_certificate_connects_under_no_other_client_id(fleet: Claimed, client_id: str) -> None:
    assert not fleet.device.connect(client_id).connect()


def test_a_device_gets_another_certificate_for_its_own_thing_and_the_old_one_ends_after_that(fleet: Claimed) -> None:
    machine, _, device = fleet
    old, other = device.provision("dev-5")[2], device.provision("dev-6")[2]
    run = deploy(machine, "--rotate", "dev-5")
    assert "rotate    1: dev-5 (asked to do it by themselves, by their shadow; no device is cut off)" in run.output
    assert "dev-5 is asked to rotate by itself" in run.output
    assert "dev-5 was asked at" in rows_of(machine, "--rotate", "dev-5")
    client = device.as_thing("dev-5", old)
    assert client.connect()
    new = device.certify(client, "dev-5-again")
    assert "rejected" == device.register(client, new, "dev-6", template=ROTATE)[0]  # another's thing
    verdict, document = device.register(client, new, "dev-5", template=ROTATE)
    assert ("accepted", "dev-5") == (verdict, document["thingName"])
    wish = wish_of(machine, "dev-5")
    commit(client, "dev-5", new, wish)  # over the old connection: that proves nothing
    commit_other(device, "dev-6", other, new)
    assert ("ACTIVE", "ACTIVE") == (device.status(old), device.status(new))
    fresh = device.as_thing("dev-5", new)
    assert fresh.connect()
    commit(fresh, "dev-5", new, wish)
    assert wait_until(lambda: "INACTIVE" == device.status(old))
    assert ("ACTIVE", "ACTIVE") == (device.status(new), device.status(other))
    assert not device.as_thing("dev-5", old).connect()
    said = rows_of(machine, "--rotate", "dev-5")
    assert f"dev-5 was asked at {wish}, and has done it" in said


def wish_of(machine: Machine, thing: str) -> str:
    answer = machine.account.client("iot-data").get_thing_shadow(thingName=thing, shadowName="rotation")
    return str(json.load(answer["payload"])["state"]["desired"]["rotate"])


def commit(client: Any, thing: str, pair: Pair, wish: str) -> None:
    reported = {"rotate": wish, "certificateId": pair.certificate_id}
    assert client.publish(COMMITTED.format(thing), json.dumps({"state": {"reported": reported}}))


def commit_other(device: Claimant, thing: str, pair: Pair, claimed: Pair) -> None:
    """Say as another thing that it has a certificate which is not its own; and say it in the first one's name."""
    client = device.as_thing(thing, pair)
    assert client.connect()
    commit(client, thing, claimed, "")
    assert not client.publish(COMMITTED.format("dev-5"), "{}")


def test_a_thing_with_a_bundle_cannot_rotate_by_itself_and_gets_a_new_bundle(fleet: Claimed) -> None:
    machine, _, device = fleet
    bundle = machine.install("rpi-0001")
    for topic in (CSR, REGISTER.format(ROTATE), COMMITTED.format("rpi-0001")):
        client = bundle.client()
        assert client.connect()
        assert not client.publish(topic, "{}")
    assert "rotated   1: rpi-0001 (cut off until their devices have" in rows_of(machine, "--rotate", "rpi-0001")


def test_a_device_that_is_listed_again_registers_once_more_and_what_it_had_ends(fleet: Claimed) -> None:
    machine, _, device = fleet
    lost = device.provision("dev-7")[2]
    run = claim(machine, *SERIALS[:-2], "dev-7 again 2026-11-30", "A1")
    assert "serials   8 in serials.txt: 1 changed, 1 listed again" in run.output
    new = device.provision("dev-7", keys="repaired")
    assert ("accepted", "ACTIVE", "INACTIVE") == (new[0], device.status(new[2]), device.status(lost))
    assert "rejected" == device.provision("dev-7", keys="copy of it")[0]
    machine.account.forget_calls()
    assert 0 == machine.deploy("--no-detect", "--claim", "--serials", "serials.txt").status
    assert {} == machine.account.writes()
    assert "rejected" == device.provision("dev-7", keys="one more")[0]


@pytest.fixture
def claimed(machine: Machine) -> Machine:
    """A machine with a fleet of nobody yet, for two devices that provision themselves."""
    machine = machine.configure(agent=INSTANCE).list()
    claim(machine, "dev-1", "dev-2")
    return machine


@pytest.mark.slow
def test_an_ended_claim_lets_nobody_in_and_the_next_one_has_another_key(claimed: Machine) -> None:
    device, tar = unpack(claimed), claimed.directory / "fleet" / "claim.tar"
    pair = device.provision("dev-1")[2]
    first = tar.read_bytes()
    run = deploy(claimed, "--end-claims")
    assert "claim     its certificate is DELETED: no device can provision itself any more" in run.output
    assert f"{Path('fleet/claim.tar')} was removed: its certificate is no longer in force" in run.output
    assert not tar.exists()
    assert not device.connect("claim-dev-2").connect()
    assert [pair.certificate_id] == claimed.account.snapshot()["certificates"]
    assert device.as_thing("dev-1", pair).connect()
    claimed.account.forget_calls()
    run = claimed.deploy("--no-detect", "--end-claims")
    assert ((0, ""), {}) == ((run.status, run.errors), claimed.account.writes()), run.text
    assert "claim     no certificate is in force (--end-claims)" in run.output
    deploy(claimed, "--claim")
    key = (device.directory / "claim-private.key").read_bytes()
    again = unpack(claimed)
    assert (True, True) == (first != tar.read_bytes(), key != (again.directory / "claim-private.key").read_bytes())
    assert "accepted" == again.provision("dev-2")[0]
    run = claimed.deploy("--no-detect", "--claim", "--output", "elsewhere")
    assert (0, "") == (run.status, run.errors), run.text
    assert "no claim.tar: its key is on another machine; --end-claims, then --claim makes a new one here" in run.output


@pytest.mark.slow
def test_what_was_changed_by_hand_is_found_and_said_how_to_repair(claimed: Machine) -> None:
    iot = claimed.account.client("iot")
    (certificate,) = claimed.account.snapshot()["certificates"]
    iot.update_certificate(certificateId=certificate, newStatus="INACTIVE")
    iot.update_provisioning_template(templateName=FLEET, enabled=False)
    iot.delete_provisioning_template(templateName=ROTATE)
    iot.disable_topic_rule(ruleName="amazon_defender_publisher_rotated")
    run = claimed.deploy("--no-detect", "--claim")
    assert 1 == run.status
    for says in (
        f"the claim certificate is INACTIVE, and no device can provision itself: --end-claims, then --claim makes a new"
        f" one, or `aws iot update-certificate --certificate-id {certificate} --new-status ACTIVE",
        f"the provisioning template {FLEET} was disabled: `aws iot update-provisioning-template --template-name",
        f"the provisioning template {ROTATE} was deleted by hand: `aws cloudformation delete-stack",
        "the rule amazon_defender_publisher_rotated was disabled, and old certificates stay ACTIVE: `aws iot enable-",
    ):
        assert says in run.sentence
        assert f"drift     {says}" in run.output
    claimed.account.client("dynamodb").delete_table(TableName=f"{FLEET}-serials")
    iot.delete_topic_rule(ruleName="amazon_defender_publisher_rotated")
    iot.update_certificate(certificateId=certificate, newStatus="ACTIVE")
    iot.detach_policy(
        policyName=f"{FLEET}-claim",
        target=f"arn:aws:iot:{claimed.account.region}:{claimed.account.id}:cert/{certificate}",
    )
    run = claimed.deploy("--no-detect", "--claim")
    assert f"the table {FLEET}-serials was deleted by hand, and no device can register" in run.sentence
    assert "the rule amazon_defender_publisher_rotated was deleted by hand" in run.sentence
    assert f"the claim certificate has no policy, and should have {FLEET}-claim only" in run.sentence


@pytest.mark.slow
def test_destroying_leaves_what_provisioned_itself_unless_that_is_agreed_to(claimed: Machine) -> None:
    device = unpack(claimed)
    pairs = [device.provision(thing)[2] for thing in ("dev-1", "dev-2")]
    run = claimed.deploy("--yes", "--destroy", "--delete-at-most", "1")
    assert (1, {}) == (run.status, {} if claimed.account.snapshot()["stacks"] else {"destroyed": True})
    assert "2 things provisioned themselves, which is more than --delete-at-most 1" in run.sentence
    run = claimed.deploy("--yes", "--destroy")
    assert (0, "") == (run.status, run.errors), run.text
    assert "left      2: dev-1, dev-2 (they provisioned themselves; they lose the policy" in run.output
    found = claimed.account.snapshot()
    left = {"things": ["dev-1", "dev-2"], "certificates": sorted(pair.certificate_id for pair in pairs)}
    assert {**NOTHING, **left} == found
    assert [] == claimed.account.client("iam").list_roles()["Roles"]
    assert not device.as_thing("dev-1", pairs[0]).connect()


@pytest.mark.slow
def test_destroying_deletes_what_provisioned_itself_where_that_is_agreed_to(claimed: Machine) -> None:
    device = unpack(claimed)
    for thing in ("dev-1", "dev-2"):
        device.provision(thing)
    run = claimed.deploy("--yes", "--destroy", "--delete-at-most", "2")
    assert (0, "") == (run.status, run.errors), run.text
    assert "things    2: dev-1, dev-2 (they provisioned themselves; deleted with their certificates)" in run.output
    assert NOTHING == claimed.account.snapshot()


@pytest.mark.slow
def test_serials_that_could_not_be_written_are_written_by_the_next_run(machine: Machine) -> None:
    machine = machine.configure(agent=INSTANCE).list()
    write(machine, "dev-1")
    machine.account.deny("dynamodb:BatchWriteItem")
    run = machine.deploy("--yes", "--no-detect", "--claim", "--serials", "serials.txt")
    assert 1 == run.status
    assert "the permission dynamodb:BatchWriteItem is missing" in run.sentence
    assert "rejected" == unpack(machine).provision("dev-1")[0]
    machine.account.mend()
    assert f"table {FLEET}-serials: 1 serials written" in claim(machine, "dev-1").output
    assert "accepted" == unpack(machine).provision("dev-1")[0]


@pytest.mark.slow
def test_a_template_that_cannot_be_made_leaves_the_rest_of_the_fleet_and_the_key_for_the_next_run(
    machine: Machine,
) -> None:
    machine = machine.configure(agent=INSTANCE).list("rpi-0001")
    write(machine, "dev-1")
    machine.account.deny("iot:CreateProvisioningTemplate")
    run = machine.deploy("--yes", "--no-detect", "--claim", "--serials", "serials.txt")
    assert 1 == run.status
    assert "the permission iot:CreateProvisioningTemplate is missing" in run.sentence
    assert "deployer-claim-policy.json those for --claim" in run.sentence
    assert ["rpi-0001"] == members_of(machine.account)
    waiting = (machine.directory / "fleet" / "claim.d" / "private.key.new").read_bytes()
    machine.account.mend()
    claim(machine, "dev-1")
    assert waiting == (machine.directory / "fleet" / "claim.d" / "private.key").read_bytes()
    assert "accepted" == unpack(machine).provision("dev-1")[0]


@pytest.mark.slow
def test_ten_thousand_serials_are_written_in_a_minute_and_not_once_more(machine: Machine) -> None:
    machine = machine.configure(agent=INSTANCE).list()
    write(machine, *(f"serial-{number:05}" for number in range(10_000)))
    began = time.monotonic()
    run = machine.run("--yes", "--no-detect", "--claim", "--serials", "serials.txt")
    took = time.monotonic() - began
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{took:.1f} s, {most:.0f} MB the larger one of Python and Node")
    assert (0, "") == (run.status, run.errors), run.text
    assert "serials   10000 in serials.txt: 10000 new" in run.output, run.output
    device = unpack(machine)
    assert "accepted" == device.provision("serial-09999")[0]
    machine.account.forget_calls()
    run = machine.deploy("--no-detect", "--claim", "--serials", "serials.txt")
    assert ((0, ""), {}) == ((run.status, run.errors), machine.account.writes()), run.text
    assert "progress  1 of 10000 listed devices have provisioned themselves; the last: serial-09999" in run.output
    write(machine, "serial-00000", "serial-09999")
    run = machine.deploy("--yes", "--no-detect", "--claim", "--serials", "serials.txt")
    assert 1 == run.status
    assert (
        "9998 of 10000 serials are no longer listed, and without being asked this takes away at most 10" in run.sentence
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--claim"],
            "--claim: which devices may provision themselves? Write their serials, one per line, into a file",
        ),
        (
            ["--claim", "--serials", "serials.txt"],
            "serials.txt: rpi-0001 is in the list of things as well, whose key is",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(machine: Machine, arguments: list[str], says: str) -> None:
    write(machine.list("rpi-0001"), "RPI-0001")
    run = machine.deploy("--yes", "--no-detect", *arguments)
    assert (1, 1) == (run.status, len(run.sentence.splitlines())), run.text
    assert says in run.sentence
    assert {} == machine.account.writes()


TRY_AGAIN = 75  # the publisher's exit status
SHOWN = 5  # different waits, in tenths of a second, of devices that were throttled: without jitter there would be one


@pytest.mark.slow
def test_two_hundred_devices_at_once_get_through_the_quota_and_none_asks_twice_a_second(machine: Machine) -> None:
    things = [f"dev-{number:03}" for number in range(200)]
    machine = machine.configure(agent=INSTANCE).list()
    claim(machine, *things)
    machine.account.register_at_most(10)
    devices = [place(machine, thing) for thing in things]
    with ThreadPoolExecutor(len(devices)) as pool, watched() as sent:
        assert {0} == set(pool.map(until_done, devices))
    assert things == members_of(machine.account)
    asked = machine.account.provisioning()
    registrations = [each for each in asked if each["operation"] == "provision"]
    throttled = Counter(each["client"] for each in registrations if each["code"] == "Throttled")
    print(
        f"{len(asked)} questions, {sum(throttled.values())} throttled, {max(throttled.values())} times the unluckiest"
    )
    accepted = {each["client"] for each in registrations if each["verdict"] == "accepted"}
    assert {f"claim-{thing}" for thing in things} == accepted
    pages = machine.account.client("iot").get_paginator("list_certificates").paginate()
    statuses = [each["status"] for page in pages for each in page["certificates"]]
    assert len(things) + 1 == statuses.count("ACTIVE")  # the claim's is one
    assert len(throttled) > 100
    assert {f"claim-{thing}" for thing in things} <= set(sent)
    assert min(later - sooner for times in sent.values() for sooner, later in pairwise(times)) >= 1.0
    assert len({round(times[2] - times[1], 1) for times in sent.values() if len(times) > 2}) > SHOWN


def until_done(device: Machinery) -> int:
    """Provision a device as its unit does, which starts it again where that may help."""
    status = TRY_AGAIN
    while status == TRY_AGAIN:
        status = device.provision()
    return status


@contextmanager
def watched() -> Iterator[dict[str, list[float]]]:
    """Note when each client ID asks a question; the device counts its second from when it has asked."""
    from defender_publisher.session import Session

    sent, send = dict[str, list[float]](), Session.send

    def note(session: Session, topic: str, payload: bytes) -> None:
        sent.setdefault(session.link.client_id, []).append(time.monotonic())
        send(session, topic, payload)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "send", note)
        yield sent


@pytest.mark.slow
def test_the_publisher_itself_provisions_rotates_and_reports(machine: Machine) -> None:
    machine = machine.configure(agent=INSTANCE).list()
    claim(machine, "dev-1")
    device = place(machine, "dev-1")
    done = device.run("--provision")
    assert (0, "provisioned as dev-1\n") == (done.returncode, done.stdout), done.stderr
    assert 0 == device.run("--once").returncode
    first = certificate_of(machine.account, "dev-1")
    deploy(machine, "--rotate", "dev-1")
    assert device.hear_wish()
    done = device.run("--rotate", "--if-due")
    assert 0 == done.returncode, done.stderr
    iot = machine.account.client("iot")

    def statuses() -> dict[str, str]:
        found = [each.rpartition("/")[2] for each in iot.list_thing_principals(thingName="dev-1")["principals"]]
        return {
            each: iot.describe_certificate(certificateId=each)["certificateDescription"]["status"] for each in found
        }

    assert wait_until(lambda: "INACTIVE" == statuses()[first])
    assert ["ACTIVE", "INACTIVE"] == sorted(statuses().values())
    assert f"dev-1 was asked at {wish_of(machine, 'dev-1')}, and has done it" in rows_of(machine, "--rotate", "dev-1")
    machine.account.accept_reports_every(0)
    done = device.run("--once")
    assert 0 == done.returncode, done.stderr
    assert ["dev-1", "dev-1"] == [each["thing"] for each in machine.account.reports() if each["accepted"]]
    refused = place(machine, "stranger").run("--provision")
    assert 77 == refused.returncode
    assert "put its serial number on the list" in refused.stderr
