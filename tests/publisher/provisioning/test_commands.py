"""The commands end with a status that says whether to try again, and the other modes know a device without a pair."""

from __future__ import annotations

import json
import os
import stat
import tarfile
from pathlib import Path
from typing import IO

import pytest

from defender_daemon import lock
from defender_daemon.command_user import VARIABLE
from defender_publisher.errors import Problem
from defender_publisher.provisioning import commands, key
from defender_publisher.provisioning.errors import ProvisioningError
from defender_publisher.provisioning.journal import Noted
from defender_publisher.provisioning.rotation import Rotation
from tests.fakes.provisioning import LOST, THROTTLED, ProvisioningBroker
from tests.publisher.provisioning.device import Device, Say

pytestmark = pytest.mark.usefixtures("waits")

WISH = "2026-12-01T09:00:00Z"
RUN_THIS = "this device has no certificate yet; run: sudo amazon-defender-publisher --provision "


def test_a_run_gives_up_with_75_where_there_is_no_connection(
    device: Device, aws: ProvisioningBroker, said: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.close()
    monkeypatch.setattr(commands, "CONNECTING_WITHIN", 0.0)
    assert 75 == device.run("--provision")
    assert "connect: as claim-rpi-0001: localhost refused the connection; " in said()


def test_a_run_gives_up_with_75_where_answers_are_lost(
    device: Device, aws: ProvisioningBroker, said: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.next_answers["csr"] = [LOST]
    monkeypatch.setattr(commands, "ANSWERED_WITHIN", 0.0)
    assert 75 == device.run("--provision")
    assert "CSR: the connection was closed after the question on $aws/certificates/create-from-csr/json" in said()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("door", ["--provision", "--rotate", "--rotation-due", "--check-config", "--status"])
def test_a_command_that_a_claim_brought_is_never_roots(
    device: Device, aws: ProvisioningBroker, said: Say, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    """In a checkout, in which nothing names the service's user."""
    monkeypatch.delenv(VARIABLE)
    raw = json.loads(device.config.read_text())
    del raw["agent"]["thing_name"]
    raw["agent"]["instance"] = {"command": '[ "$(id -u)" != 0 ] && echo 7'}
    device.config.write_text(json.dumps(raw))
    device.run(door)
    assert "must print a serial number" not in said()
    if door == "--provision":
        assert [{"ThingName": "sys-7", "SerialNumber": "7"}] == aws.kept.parameters


def test_two_runs_at_once_are_one_too_many(device: Device, aws: ProvisioningBroker, said: Say) -> None:
    with lock.take(device.etc / "identities" / "lock"):
        assert 75 == device.run("--provision")
    assert "another run is under way" in said()
    assert [] == aws.seen.connects


@pytest.mark.parametrize(
    ("options", "says"),
    [(["--provision"], "already provisioned as rpi-0001"), (["--rotate", "--if-due"], "not due: nobody asked ")],
)
def test_a_run_that_waited_for_another_does_not_do_again_what_that_did(
    device: Device,
    aws: ProvisioningBroker,
    said: Say,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    says: str,
) -> None:
    if "--rotate" in options:
        assert 0 == device.run("--provision"), said()
        (device.state / "rotation-wanted.json").write_text(json.dumps({"rotate": WISH}))
    take = lock.take

    def wait(path: Path, private: bool) -> IO[str]:
        monkeypatch.setattr(lock, "take", take)
        assert 0 == device.run(*options), said()  # the one that had it
        asked.append(len(aws.kept.asked))
        return take(path, private)

    asked: list[int] = []
    monkeypatch.setattr(lock, "take", wait)
    assert 0 == device.run(*options), said()
    assert asked == [len(aws.kept.asked)]
    assert says in said()
    assert ("", 1) == (device.pair_problem(), len(aws.of("rpi-0001")))


def interrupt(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_an_interruption_is_said_and_the_next_run_goes_on_from_there(
    device: Device, aws: ProvisioningBroker, said: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.next_answers["register"] = [THROTTLED]
    with monkeypatch.context() as patch:
        patch.setattr(commands, "sleep", interrupt)  # Ctrl-C between two attempts
        assert 130 == device.run("--provision")
    assert "interrupted; what was done is kept, and the next run continues from there\n" == said().splitlines(True)[-1]
    assert 0 == device.run("--provision"), said()
    assert 1 == len(aws.certificates), "the certificate that was answered is the one that is registered"
    monkeypatch.setattr(Rotation, "rotate", interrupt)
    assert 130 == device.run("--rotate")
    assert "the next run continues from there" in said()


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--provision", "interrupted; what was done is kept, and the next run continues from there\n"),
        ("--rotate", "interrupted; what was done is kept, and the next run continues from there\n"),
        ("--rotation-due", "interrupted; nothing was changed\n"),
    ],
)
@pytest.mark.parametrize(
    "where", ["defender_publisher.settings.find_config_file", "defender_publisher.questions.answer"]
)
def test_an_interruption_is_said_from_the_moment_that_a_run_begins(
    device: Device, said: Say, monkeypatch: pytest.MonkeyPatch, option: str, says: str, where: str
) -> None:
    """Before the configuration is read, and while what does the work is being imported."""
    monkeypatch.setattr(where, interrupt)
    assert (130, says) == (device.run(option), said())


def test_whoever_asks_something_else_is_told_nothing_of_certificates(
    device: Device, said: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("defender_publisher.questions.answer", interrupt)
    assert (1, "") == (device.run("--check-config"), said())


def test_whether_a_rotation_is_due_is_unknown_where_the_question_was_interrupted(
    device: Device, said: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rotation, "check", interrupt)
    assert (130, "interrupted; nothing was changed\n") == (device.run("--rotation-due"), said())


def test_a_device_without_openssl_is_told_what_to_install(
    device: Device, said: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(device.etc))
    assert 78 == device.run("--provision")
    assert f"{key.MISSING}\n" == said()


def test_a_directory_that_cannot_be_written_is_said(device: Device, said: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(device.etc / "identities"))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert 77 == device.run("--provision")
    assert f"{device.etc / 'identities'}: Permission denied; run this with sudo\n" == said()


def test_whether_a_rotation_is_due_is_said_without_a_connection(
    device: Device, aws: ProvisioningBroker, said: Say
) -> None:
    assert 78 == device.run("--rotation-due"), "there is nothing to replace yet"
    assert 0 == device.run("--provision")
    said()
    connects = len(aws.seen.connects)
    assert (1, f"{commands.NOT_DUE}\n") == (device.run("--rotation-due"), said())
    (device.state / "rotation-wanted.json").write_text(json.dumps({"rotate": WISH}))
    assert (0, f"due: it was asked for at {WISH}\n") == (device.run("--rotation-due"), said())
    assert connects == len(aws.seen.connects)


def test_whoever_asks_whether_it_is_due_is_to_try_again(device: Device, aws: ProvisioningBroker, said: Say) -> None:
    """The unit has stopped the daemon meanwhile."""
    assert 0 == device.run("--provision")
    (device.state / "rotation-wanted.json").write_text(json.dumps({"rotate": WISH}))
    aws.next_answers["csr"] = [THROTTLED]
    assert (75, 1) == (device.run("--rotate", "--if-due"), sum(call == "csr" for call, *_ in aws.kept.asked) - 1)
    assert 0 == device.run("--rotate", "--if-due"), said()


def test_the_services_user_can_read_the_certificate_whatever_roots_umask_is(device: Device) -> None:
    before = os.umask(0o077)
    try:
        assert 0 == device.run("--provision")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (device.etc / "identities").glob("**/*")}
    public = dict.fromkeys(("certificate.pem", "taken"), 0o644)
    assert {"a": 0o755, "b": 0o755, **public, "private.key": 0o600, "lock": 0o600} == modes


NO, REFUSED = Problem("no", "let it"), Problem("refused the connection", "check the firewall")


@pytest.mark.parametrize(
    ("error", "count", "repeated", "expected"),
    [
        (ProvisioningError("policy", NO), 2, True, "policy: no; let it; run this again"),
        (ProvisioningError("policy", NO), 3, True, "policy: no; let it; tried once a day from now on"),
        (
            ProvisioningError("policy", NO),
            4,
            False,
            "policy: no; let it; the 4th attempt in a row that failed; tried again in a day",
        ),
        (
            ProvisioningError("policy", NO),
            22,
            True,
            "policy: failed again as the last time, the 22nd attempt in a row that failed; tried again in a day "
            "(--doctor says why)",
        ),
        (
            ProvisioningError("policy", NO),
            112,
            True,
            "policy: failed again as the last time, the 112th attempt in a row that failed; tried again in a day "
            "(--doctor says why)",
        ),
        (ProvisioningError("connect", REFUSED), 0, True, "connect: refused the connection; check the firewall; run "),
    ],
)
def test_a_failure_is_said_with_its_advice_unless_it_is_that_of_the_day_before(
    error: ProvisioningError, count: int, repeated: bool, expected: str
) -> None:
    assert commands.last_words(error, Noted(count, repeated)).startswith(expected)


def test_if_due_goes_with_rotate_only(device: Device, said: Say) -> None:
    with pytest.raises(SystemExit):
        device.run("--provision", "--if-due")
    assert "--if-due goes with --rotate" in said()


@pytest.mark.parametrize("options", [[], ["--once"]])
def test_without_a_certificate_the_daemon_says_what_is_to_be_run(device: Device, said: Say, options: list[str]) -> None:
    assert 78 == device.run(*options)
    assert f"{device.config}: {RUN_THIS}{device.config}" in said()


def test_the_check_of_a_configuration_takes_one_whose_certificate_is_to_come(device: Device, said: Say) -> None:
    device.configure(parameters={"Site": "Leeds", "Bootstrap-Secret": "s3cr3t"})
    assert 0 == device.run("--check-config")
    shown = said()
    assert shown.startswith(f"{RUN_THIS}{device.config}\n")
    assert 'agent.provisioning.template = "fleet" (file)\n' in shown
    assert 'agent.provisioning.parameters.Site = "Leeds"' in shown
    assert "agent.provisioning.parameters.Bootstrap-Secret = (hidden)" in shown
    device.configure(claim_certificate="gone.pem")
    assert 78 == device.run("--check-config")
    assert "agent.provisioning.claim_certificate must be a readable file" in said()


def test_the_status_of_a_device_without_a_certificate_says_what_is_to_be_run(device: Device, said: Say) -> None:
    assert 3 == device.run("--status")
    shown = said()
    assert "this device has no certificate yet" in shown
    assert f"--provision {device.config}" in shown


def test_a_support_bundle_has_neither_the_claims_key_nor_the_devices(
    device: Device, aws: ProvisioningBroker, tmp_path: Path
) -> None:
    assert 0 == device.run("--provision")
    private = [device.etc / "private.key", aws.claim.private_key]
    device.configure(parameters={"Note": " ".join(private[1].read_text().splitlines()[1:3])})
    logfile = tmp_path / "publisher.log"
    logfile.write_text("".join(path.read_text() for path in private))
    raw = json.loads(device.config.read_text())
    raw["agent"]["logfile"] = str(logfile)
    device.config.write_text(json.dumps(raw))
    device.run(f"--support-bundle={tmp_path / 'bundle.tar'}")
    with tarfile.open(tmp_path / "bundle.tar") as tar:
        content = b"".join(member.read() for each in tar if (member := tar.extractfile(each)))
    lines = [line for path in private for line in path.read_text().splitlines()[1:-1]]
    assert b"publisher.log" in content
    assert [] == [line for line in lines if line.encode() in content]
