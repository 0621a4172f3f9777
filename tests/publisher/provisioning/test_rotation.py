"""A pair is replaced while another is in force at each moment, and the old certificate is ended by who keeps them."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any, cast

import pytest

from defender_daemon.dates import seconds_of
from defender_publisher import questions
from defender_publisher.diagnosis import SILENT
from defender_publisher.errors import NotConnected, Problem
from defender_publisher.provisioning import commands
from defender_publisher.provisioning.errors import ProvisioningError
from defender_publisher.provisioning.identities import Identities
from defender_publisher.provisioning.journal import Journal, JournalFile
from defender_publisher.provisioning.rotation import Rotation, ends_soon_since
from defender_publisher.session import Session
from defender_publisher.settings import read_settings
from defender_publisher.snapshot import Counters
from defender_publisher.state import StateFile
from tests.fakes.host import COUNTERS_ONLY, ONE, Host, growth_of
from tests.fakes.provisioning import ACTIVE, INACTIVE, LOST, THROTTLED, ProvisioningBroker, fingerprint
from tests.publisher.provisioning.device import Device, Say, make_plain

DAY = 86_400
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


def set_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr("defender_publisher.provisioning.commands.time.time", lambda: seconds)


def test_a_clock_that_is_years_ahead_costs_one_rotation_at_most(
    provisioned: Device, aws: ProvisioningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By that clock the new certificate is as old as the one before."""
    provisioned.configure(rotate_after_days=30)
    ahead = time.time() + 3650 * DAY
    for day, rotations in ((0, 1), (1, 1), (29, 1), (31, 2), (32, 2)):
        set_clock(monkeypatch, ahead + day * DAY)
        assert 0 == provisioned.run("--rotate", "--if-due")
        assert rotations == len(aws.kept.committed)


def test_a_clock_by_which_every_certificate_ends_soon_costs_one_rotation_at_most(
    provisioned: Device, aws: ProvisioningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = seconds_of("Nov 20 00:00:00 2049 GMT")
    for day in range(3):
        set_clock(monkeypatch, ahead + day * DAY)
        assert 0 == provisioned.run("--rotate", "--if-due")
        assert 1 == len(aws.kept.committed)


def test_the_age_of_a_certificate_is_its_own_where_the_clock_was_ahead_when_it_came(
    device: Device, aws: ProvisioningBroker, said: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time()) + 0.75  # the part of a second puts nothing into the future
    set_clock(monkeypatch, now + 3650 * DAY)
    assert 0 == device.run("--provision"), said()
    device.configure(rotate_after_days=30)
    assert 1 == device.run("--rotation-due"), "it has just come"
    set_clock(monkeypatch, now + 29 * DAY)  # NTP
    assert 1 == device.run("--rotation-due")
    set_clock(monkeypatch, now + 31 * DAY)
    assert 0 == device.run("--rotation-due")


@pytest.mark.parametrize("lasts", [1, 90, 3650])
@pytest.mark.parametrize("part", [None, 0.0, 0.1, 0.5, 0.6, 0.9, 0.999])
def test_a_certificate_is_due_before_its_end_however_late_it_was_taken(lasts: int, part: float | None) -> None:
    """A run that was finished late, or a clock that was ahead then and is right now."""
    ends = 1e9 + lasts * DAY
    taken = None if part is None else 1e9 + part * lasts * DAY
    left = ends - (taken or 1e9)
    assert not ends_soon_since(1e9, ends, taken, ends - left), "it has just come"
    assert ends_soon_since(1e9, ends, taken, ends - min(left / 4, 55 * DAY))
    assert ends_soon_since(1e9, ends, taken, ends + 1)


def test_a_certificate_that_had_ended_when_it_was_taken_is_in_force_for_half_of_its_time() -> None:
    ends = 1e9 + 90 * DAY
    taken = ends + DAY
    found = [ends_soon_since(1e9, ends, taken, taken + day * DAY) for day in (0, 1, 44, 46)]
    assert [False, False, False, True] == found


def test_files_of_a_bundle_are_as_old_as_they_say(
    provisioned: Device, said: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    provisioned.configure(rotate_after_days=30)
    make_plain(provisioned)
    set_clock(monkeypatch, time.time() + 31 * DAY)
    assert 0 == provisioned.run("--rotation-due"), said()


@pytest.mark.parametrize("options", [["--rotate"], ["--rotate", "--if-due"]])
def test_a_clock_before_the_certificate_began_rotates_nothing(
    provisioned: Device, aws: ProvisioningBroker, said: Say, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    (provisioned.state / "rotation-wanted.json").write_text(json.dumps({"rotate": WISH}))
    before, connects = provisioned.everything(), len(aws.seen.connects)
    said()
    set_clock(monkeypatch, seconds_of("Jan  1 00:00:00 2020 GMT"))
    assert 75 == provisioned.run(*options)
    (line,) = said().splitlines()
    assert "is valid from " in line
    assert "but this device's clock says 2020-01-01 00:00:00 UTC; check the clock" in line
    assert (before, connects) == (provisioned.everything(), len(aws.seen.connects))


def test_a_commitment_that_no_policy_allows_is_tried_three_times_and_then_once_a_day(
    provisioned: Device, aws: ProvisioningBroker, said: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt stops the daemon."""
    (provisioned.state / "rotation-wanted.json").write_text(json.dumps({"rotate": WISH}))
    aws.next_answers["commit"] = [LOST] * 5
    begun = time.time()
    set_clock(monkeypatch, begun)
    said()
    words = [(provisioned.run("--rotate", "--if-due"), said()) for _ in range(3)]
    assert [75] * 3 == [status for status, _ in words]
    assert all("was not acknowledged" in text for _, text in words)
    assert [False, False, True] == [text.endswith("; tried once a day from now on\n") for _, text in words]
    connects = len(aws.seen.connects)
    set_clock(monkeypatch, begun + 900)
    assert 1 == provisioned.run("--rotation-due")
    assert "not due: 3 attempts in a row have failed (the last one: commitment: " in (text := said())
    assert text.endswith("), and it is tried once a day; at once by --rotate\n")
    assert (0, connects) == (provisioned.run("--rotate", "--if-due"), len(aws.seen.connects))
    said()
    set_clock(monkeypatch, begun + DAY)
    assert 0 == provisioned.run("--rotation-due")
    said()
    assert 75 == provisioned.run("--rotate", "--if-due")
    attempt = "the 4th attempt in a row that failed; tried again in a day"
    assert f"commitment: failed again as the last time, {attempt} (--doctor says why)\n" == said()
    assert 1 == provisioned.run("--rotation-due")
    said()
    with monkeypatch.context() as patch:
        patch.setattr(commands, "ANSWERED_WITHIN", 0.0)
        assert 75 == provisioned.run("--rotate")
    assert "was not acknowledged" in said(), "who runs it by hand reads all of it"
    assert 0 == provisioned.run("--rotate"), "once somebody has changed the policy"
    assert 1 == provisioned.run("--rotation-due")


def test_a_commitment_that_nobody_answers_is_an_outage_and_does_not_rest(
    provisioned: Device, aws: ProvisioningBroker, said: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    def be_silent(*arguments: object) -> None:
        raise NotConnected(*SILENT)

    (provisioned.state / "rotation-wanted.json").write_text(json.dumps({"rotate": WISH}))
    with monkeypatch.context() as patch:
        patch.setattr(Session, "deliver", be_silent)
        for _ in range(4):
            said()
            assert 75 == provisioned.run("--rotate", "--if-due")
            assert said().endswith("; run this again\n")
    assert 0 == provisioned.run("--rotate", "--if-due"), said()


NOT_ALLOWED, PASSING, FOR_GOOD = (
    ProvisioningError("commitment", Problem("no")),
    ProvisioningError("CSR", Problem("Throttled"), passes=True),
    ProvisioningError("hook", Problem("AccessDenied"), final=True),
)


@pytest.mark.parametrize(
    ("failures", "after", "rests"),
    [
        ([NOT_ALLOWED] * 2, 0.0, False),
        ([NOT_ALLOWED] * 3, 0.0, True),
        ([NOT_ALLOWED, PASSING, NOT_ALLOWED, PASSING, NOT_ALLOWED], 0.0, True),
        ([PASSING] * 9, 0.0, False),  # as often as a service manager likes
        ([FOR_GOOD] * 3 + [NOT_ALLOWED], 0.0, False),
        ([FOR_GOOD] * 9, 0.0, False),  # its status, 77, is what no service manager tries again by itself
        ([NOT_ALLOWED] * 3, 20 * 3600.0 - 1, True),
        ([NOT_ALLOWED] * 3, 20 * 3600.0, False),
        ([NOT_ALLOWED] * 3, -1.0, False),  # the clock went back
    ],
)
def test_only_what_somebody_must_change_rests_and_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: list[ProvisioningError], after: float, rests: bool
) -> None:
    set_clock(monkeypatch, 1e9)
    file, nobody = JournalFile(tmp_path), cast("Any", None)
    identities = Identities(tmp_path, tmp_path / "certificate.pem", tmp_path / "private.key")
    file.note(Journal("rotation", "a", "localhost", "rpi-0001"), "begun")
    for each in failures:
        file.note_failure(each)
    settings = read_settings(None, {"agent": {"thing_name": "rpi-0001", "dry_run": True}})
    assert rests == bool(Rotation(settings, identities, file, nobody).rests(1e9 + after))


@pytest.mark.parametrize(("outage", "rests"), [(3600.0, True), (20 * 3600.0, False)])
def test_an_outage_is_no_other_days_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outage: float, rests: bool
) -> None:
    """What fails for no connection at the attempt of a day is tried again a quarter of an hour later."""
    file, nobody = JournalFile(tmp_path), cast("Any", None)
    file.note(Journal("rotation", "a", "localhost", "rpi-0001"), "begun")
    for now, error in ((1e9, NOT_ALLOWED), (1e9, NOT_ALLOWED), (1e9, NOT_ALLOWED), (1e9 + outage, PASSING)):
        set_clock(monkeypatch, now)
        file.note_failure(error)
    settings = read_settings(None, {"agent": {"thing_name": "rpi-0001", "dry_run": True}})
    identities = Identities(tmp_path, tmp_path / "certificate.pem", tmp_path / "private.key")
    found = Rotation(settings, identities, file, nobody).rests(1e9 + outage + 900)
    assert rests == found.startswith("3 attempts in a row have failed (the last one: commitment: no), ")


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
