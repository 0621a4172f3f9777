"""A pair is replaced while another is in force at each moment, and the old certificate is ended by who keeps them."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from defender_daemon.dates import seconds_of
from defender_publisher import questions
from defender_publisher.provisioning import commands
from defender_publisher.snapshot import Counters
from defender_publisher.state import StateFile
from tests.fakes.host import COUNTERS_ONLY, ONE, Host, growth_of
from tests.fakes.provisioning import ACTIVE, INACTIVE, LOST, THROTTLED, ProvisioningBroker, fingerprint
from tests.publisher.provisioning.device import Device, Say, make_plain

WISH = "2026-11-30T10:00:00Z"

pytestmark = pytest.mark.usefixtures("waits")


@pytest.fixture
def provisioned(device: Device, said: Say) -> Device:
    assert 0 == device.run("--provision"), said()
    return device


def test_a_rotation_replaces_key_and_certificate_and_the_old_one_is_ended(
    provisioned: Device, aws: ProvisioningBroker, said: Say
) -> None:
    (old,) = aws.of("rpi-0001")
    assert 0 == provisioned.run("--rotate"), said()
    (new,) = aws.of("rpi-0001")
    assert f"rotated to the certificate {new}" in said()
    assert (INACTIVE, "") == (aws.certificates[old].status, provisioned.pair_problem())
    assert [{"certificateId": new}] == aws.kept.committed
    assert 2 == aws.keys
    assert (provisioned.etc / "identities" / "a" / "retired").read_text().endswith("UTC\n")
    assert 0 == provisioned.run("--once"), said()


def test_each_rotation_uses_the_place_of_the_pair_before_the_last(provisioned: Device, aws: ProvisioningBroker) -> None:
    for expected in ("b", "a", "b"):
        assert 0 == provisioned.run("--rotate")
        assert expected == (provisioned.etc / "identity").resolve().name
        assert "" == provisioned.pair_problem()
    assert (4, 1) == (aws.keys, len(aws.of("rpi-0001")))


def test_plain_files_are_taken_over_and_are_the_same_until_the_turn(
    provisioned: Device, aws: ProvisioningBroker, said: Say
) -> None:
    make_plain(provisioned)
    assert 0 == provisioned.run("--rotate"), said()
    assert "" == provisioned.pair_problem()
    assert (provisioned.etc / "private.key").is_symlink()
    assert 1 == len(aws.of("rpi-0001"))


def test_files_of_a_new_bundle_are_taken_over_in_place_of_an_unfinished_rotation(
    provisioned: Device, aws: ProvisioningBroker, said: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.next_answers["commit"] = [LOST]
    monkeypatch.setattr(commands, "ANSWERED_WITHIN", 0.0)
    assert 75 == provisioned.run("--rotate")
    bundle = aws.authority.issue("rpi-0001")
    for path, name in ((bundle.private_key, "private.key"), (bundle.certificate, "certificate.pem")):
        (provisioned.etc / name).unlink()
        shutil.copy(path, provisioned.etc / name)
    (provisioned.etc / "private.key").chmod(0o600)
    pem = bundle.certificate.read_text()
    aws.certificates[fingerprint(pem)] = type(next(iter(aws.certificates.values())))(ACTIVE, b"", "rpi-0001")
    assert 0 == provisioned.run("--rotate"), said()
    assert ("", 1) == (provisioned.pair_problem(), len(aws.of("rpi-0001")))


def test_the_commitment_is_repeated_until_it_is_acknowledged(
    provisioned: Device, aws: ProvisioningBroker, waits: list[float]
) -> None:
    aws.next_answers["commit"] = [LOST, LOST]
    assert 0 == provisioned.run("--rotate")
    assert 3 == len(aws.kept.committed)
    assert 1 == len({each["certificateId"] for each in aws.kept.committed})
    assert (2, 2) == (len(waits), len(aws.certificates))


@pytest.mark.parametrize("call", ["csr", "register"])
@pytest.mark.parametrize("fault", [LOST, THROTTLED])
def test_a_question_that_fails_is_asked_again(
    provisioned: Device, aws: ProvisioningBroker, call: str, fault: object
) -> None:
    aws.next_answers[call] = [fault]
    assert 0 == provisioned.run("--rotate")
    assert ("", 1) == (provisioned.pair_problem(), len(aws.of("rpi-0001")))


def test_another_things_certificate_cannot_be_asked_for(
    provisioned: Device, aws: ProvisioningBroker, said: Say
) -> None:
    before = (provisioned.etc / "identity").resolve()
    aws.name_of = lambda parameters: "rpi-0002"
    assert 77 == provisioned.run("--rotate")
    assert "hook: AccessDenied: Access Denied: the hook of the template fleet-rotate refused this device" in said()
    assert before == (provisioned.etc / "identity").resolve()
    assert "" == provisioned.pair_problem()


def test_a_rotation_that_is_not_due_changes_nothing_and_asks_nobody(
    provisioned: Device, aws: ProvisioningBroker, said: Say
) -> None:
    before, connects = provisioned.everything(), len(aws.seen.connects)
    assert 0 == provisioned.run("--rotate", "--if-due")
    assert "not due: nobody asked for another certificate, and this one is not too old" in said()
    assert (before, connects) == (provisioned.everything(), len(aws.seen.connects))


def test_a_wish_is_fulfilled_once_however_often_it_is_heard(
    provisioned: Device, aws: ProvisioningBroker, said: Say
) -> None:
    wanted = provisioned.state / "rotation-wanted.json"
    for _ in range(2):
        wanted.write_text(json.dumps({"rotate": WISH, "run": "/bin/sh", "endpoint": "elsewhere"}))
        assert 0 == provisioned.run("--rotate", "--if-due"), said()
    assert [WISH] == [each["rotate"] for each in aws.kept.committed]
    wanted.write_text(json.dumps({"rotate": "2026-12-01T10:00:00Z"}))
    assert 0 == provisioned.run("--rotate", "--if-due"), said()
    assert 2 == len(aws.kept.committed)
    assert not wanted.exists()


def test_a_certificate_that_is_old_enough_is_due(
    provisioned: Device, aws: ProvisioningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    provisioned.configure(rotate_after_days=30)
    assert 0 == provisioned.run("--rotate", "--if-due")
    assert [] == aws.kept.committed
    now = time.time() + 31 * 86_400
    monkeypatch.setattr("defender_publisher.provisioning.commands.time.time", lambda: now)
    assert 0 == provisioned.run("--rotate", "--if-due")
    assert 1 == len(aws.kept.committed)


def test_a_daemon_that_runs_is_said(provisioned: Device, said: Say) -> None:
    with StateFile(provisioned.state):
        assert 0 == provisioned.run("--rotate")
    assert "the daemon is running as rpi-0001, and its connection is ended; stop it first" in said()
    assert 0 == provisioned.run("--rotate")
    assert "the daemon is running" not in said()


def test_a_certificate_that_ends_soon_is_due(
    provisioned: Device, aws: ProvisioningBroker, said: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    weeks_before = seconds_of("Nov 20 00:00:00 2049 GMT")
    monkeypatch.setattr("defender_publisher.provisioning.commands.time.time", lambda: weeks_before)
    assert 0 == provisioned.run("--rotation-due")
    assert "due: the certificate ends on 2049-12-31 23:59 UTC\n" == said().splitlines(keepends=True)[-1]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"rotation_template": None}, "agent.provisioning.rotation_template is missing"),
        ({}, "this device has no certificate to replace; run --provision "),
    ],
)
def test_what_cannot_be_rotated_is_said(device: Device, said: Say, change: dict[str, object], expected: str) -> None:
    device.configure(**change)
    assert 78 == device.run("--rotate")
    assert expected in said()


def test_the_next_key_belongs_to_whom_the_one_before_belongs_to(
    provisioned: Device, unprivileged: int, said: Say
) -> None:
    make_plain(provisioned)
    os.chown(provisioned.etc / "private.key", unprivileged, unprivileged)
    for _ in range(2):
        assert 0 == provisioned.run("--rotate"), said()
        found = (provisioned.etc / "private.key").stat()
        assert (unprivileged, unprivileged, 0o600) == (found.st_uid, found.st_gid, found.st_mode & 0o777)


def test_no_byte_is_lost_or_counted_twice_over_rotations(
    provisioned: Device, aws: ProvisioningBroker, tmp_path: Path, said: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "FIRST_GROWTH", 0.0)
    host = Host(tmp_path)
    raw = json.loads(provisioned.config.read_text())
    raw["agent"].update(procfs_path=str(host.path), short_names=True)
    provisioned.config.write_text(json.dumps({**raw, "metrics": COUNTERS_ONLY, "custom_metrics": ONE}))
    for number in range(4):
        host.count(Counters(*(1000 + 700 * number + each for each in range(4))))
        assert 0 == provisioned.run("--once"), said()
        host.count(Counters(*(1300 + 700 * number + each for each in range(4))))
        if number % 2:
            aws.next_answers["commit"] = [LOST]
        assert 0 == provisioned.run("--rotate"), said()
    grown = [growth_of(payload) for topic, payload, _ in aws.seen.publishes if topic.endswith("/defender/metrics/json")]
    assert [None, *[Counters(700, 700, 700, 700)] * 3] == grown
