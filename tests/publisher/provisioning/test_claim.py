"""A device gets its own certificate by the claim of its fleet: once, whatever goes wrong in between."""

from __future__ import annotations

import json
import re

import pytest

from defender_publisher.provisioning import commands
from tests.fakes.provisioning import ACTIVE, DENIED, LOST, THROTTLED, ProvisioningBroker
from tests.publisher.provisioning.device import Device, Say

pytestmark = pytest.mark.usefixtures("waits")


def test_a_device_makes_its_key_and_gets_a_certificate_with_which_it_reports(
    device: Device, aws: ProvisioningBroker, said: Say
) -> None:
    assert 0 == device.run("--provision"), said()
    assert "provisioned as rpi-0001" in said()
    assert "" == device.pair_problem()
    assert (1, 1) == (aws.keys, len(aws.of("rpi-0001")))
    assert [{"ThingName": "rpi-0001", "SerialNumber": "rpi-0001"}] == aws.kept.parameters
    assert 0 == device.run("--once"), said()
    assert not list(device.etc.rglob("journal.json"))


def test_a_second_run_changes_nothing_byte_for_byte_and_asks_nobody(
    device: Device, aws: ProvisioningBroker, said: Say
) -> None:
    assert 0 == device.run("--provision"), said()
    before, connects = device.everything(), len(aws.seen.connects)
    assert 0 == device.run("--provision")
    assert "already provisioned as rpi-0001; nothing was changed" in said()
    assert (before, connects) == (device.everything(), len(aws.seen.connects))


def test_no_private_key_is_in_all_that_was_sent(device: Device, aws: ProvisioningBroker) -> None:
    assert 0 == device.run("--provision")
    lines = (device.etc / "private.key").read_text().splitlines()[1:-1]
    assert b"CERTIFICATE REQUEST" in aws.kept.traffic
    assert b"PRIVATE" not in aws.kept.traffic
    assert [] == [line for line in lines if line.encode() in aws.kept.traffic]


@pytest.mark.parametrize(
    ("lost", "certificates"),
    [
        ({"csr": [LOST]}, 2),
        ({"register": [LOST]}, 1),
        ({"csr": [LOST], "register": [LOST]}, 2),
    ],
)
def test_an_answer_that_is_lost_leaves_one_key_and_one_active_certificate(
    device: Device, aws: ProvisioningBroker, lost: dict[str, list[object]], certificates: int
) -> None:
    aws.next_answers.update(lost)
    assert 0 == device.run("--provision")
    assert "" == device.pair_problem()
    assert (1, 1, certificates) == (aws.keys, len(aws.of("rpi-0001")), len(aws.certificates))


def test_too_many_requests_are_asked_again_later(
    device: Device, aws: ProvisioningBroker, waits: list[float], said: Say
) -> None:
    passing = [(500, "InternalError", "try later"), (400, "InvocationError", "the hook took too long")]
    aws.next_answers.update(csr=[THROTTLED] * 2, register=[THROTTLED, *passing])
    assert 0 == device.run("--provision")
    assert 5 == len(waits)
    assert min(waits) >= 1.0
    assert "CSR: Throttled: Rate exceeded" in said()
    assert 1 == len(aws.certificates)


def test_a_claim_that_is_not_allowed_to_ask_ends_with_77_and_names_the_connection(
    device: Device, aws: ProvisioningBroker, said: Say
) -> None:
    aws.claim_active = False
    assert 77 == device.run("--provision")
    assert "connect: as claim-rpi-0001: the broker refused the connection: this device is not authorized" in said()
    assert {} == aws.certificates


@pytest.mark.parametrize(
    ("call", "rejection", "expected"),
    [
        ("csr", DENIED, "CSR: AccessDenied: Access Denied; let this certificate's policy allow iot:Publish on topic/"),
        (
            "csr",
            (400, "InvalidCertificateSigningRequest", "no"),
            "CSR: InvalidCertificateSigningRequest: no; check the",
        ),
        (
            "register",
            DENIED,
            "hook: AccessDenied: Access Denied: the hook of the template fleet refused this device",
        ),
        (
            "register",
            (404, "ResourceNotFoundException", "x"),
            "template: the template fleet cannot be used: Resource",
        ),
        (
            "register",
            (400, "InvalidParameters", "A"),
            "template: the template fleet cannot be used: InvalidParameters",
        ),
    ],
)
def test_a_refusal_ends_with_77_and_says_who_refused(
    device: Device, aws: ProvisioningBroker, said: Say, call: str, rejection: object, expected: str
) -> None:
    aws.next_answers[call] = [rejection]
    assert 77 == device.run("--provision")
    assert expected in said()


def test_a_device_that_was_put_on_the_list_uses_the_certificate_that_it_has(
    device: Device, aws: ProvisioningBroker
) -> None:
    aws.hook = lambda parameters: False
    assert 77 == device.run("--provision")
    aws.hook = lambda parameters: True
    assert 0 == device.run("--provision")
    assert [ACTIVE] == [each.status for each in aws.certificates.values()]


def test_a_subscription_that_is_refused_names_the_template(device: Device, aws: ProvisioningBroker, said: Say) -> None:
    device.configure(template="another")
    assert 77 == device.run("--provision")
    assert re.search("template: the subscription to .*/another/provision/json/accepted was refused; let this", said())


def test_nothing_but_a_certificate_is_taken_of_an_answer(
    device: Device, aws: ProvisioningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who brings a configuration names the endpoint that answers, and the path at which root keeps the answer."""
    raw = json.loads(device.config.read_text())
    raw["agent"]["authentication"]["certificate"] = "profile.d.sh"
    device.config.write_text(json.dumps(raw))
    issue = aws._issue

    def add(request: dict[str, object]) -> dict[str, str]:
        found = issue(request)
        return {**found, "certificatePem": f"touch /tmp/x\n{found['certificatePem']}* * * * * root reboot\n"}

    monkeypatch.setattr(aws, "_issue", add)
    assert 0 == device.run("--provision")
    lines = (device.etc / "profile.d.sh").read_text().splitlines()
    assert ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----") == (lines[0], lines[-1])
    assert [] == [line for line in lines[1:-1] if not re.fullmatch("[A-Za-z0-9+/=]{1,76}", line)]


def refuse_until_the_token_is_old(device: Device, aws: ProvisioningBroker) -> None:
    """Let a device be refused, and AWS delete the certificate that it did not register; from then on it is let in."""
    aws.hook = lambda parameters: False
    assert 77 == device.run("--provision")
    aws.expire()
    aws.hook = lambda parameters: True


def test_a_token_older_than_an_hour_is_not_used(
    device: Device, aws: ProvisioningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_until_the_token_is_old(device, aws)
    age_journal(device, 3700.0)
    assert 0 == device.run("--provision")
    assert "" == device.pair_problem()
    assert [ACTIVE] == [each.status for each in aws.certificates.values()]


def test_a_device_whose_clock_stood_still_while_it_was_off_is_not_stuck_with_a_certificate_that_is_deleted(
    device: Device, aws: ProvisioningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_until_the_token_is_old(device, aws)
    monkeypatch.setattr(commands, "ANSWERED_WITHIN", 0.0)
    assert 75 == device.run("--provision"), "by its clock the token is young, and used up"
    age_journal(device, 3700.0)
    assert 0 == device.run("--provision"), "NTP has set the clock"
    assert ("", [ACTIVE]) == (device.pair_problem(), [each.status for each in aws.certificates.values()])


def test_a_certificate_that_was_registered_unheard_an_hour_ago_is_tried_before_another_is_asked_for(
    device: Device, aws: ProvisioningBroker
) -> None:
    aws.next_answers.update(register=[LOST, DENIED])
    assert 77 == device.run("--provision")
    age_journal(device, 3700.0)
    assert 0 == device.run("--provision")
    assert [ACTIVE] == [each.status for each in aws.certificates.values()]


def test_the_name_that_the_template_gives_is_written_into_the_configuration_and_nothing_else(
    device: Device, aws: ProvisioningBroker, said: Say
) -> None:
    aws.name_of = lambda parameters: "site-7-" + parameters["ThingName"]
    before = json.loads(device.config.read_text())
    device.config.chmod(0o640)
    assert 0 == device.run("--provision"), said()
    before["agent"]["thing_name"] = "site-7-rpi-0001"
    assert before == json.loads(device.config.read_text())
    assert 0o640 == device.config.stat().st_mode & 0o777
    assert 0 == device.run("--once"), said()


def test_the_serial_and_the_parameters_of_the_configuration_go_to_the_template(
    device: Device, aws: ProvisioningBroker
) -> None:
    device.configure(parameters={"Site": "Leeds"})
    raw = json.loads(device.config.read_text())
    raw["agent"]["instance"] = {"command": "echo A-0042"}
    device.config.write_text(json.dumps(raw))
    assert 0 == device.run("--provision")
    assert [{"ThingName": "rpi-0001", "SerialNumber": "A-0042", "Site": "Leeds"}] == aws.kept.parameters


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"template": None}, "agent.provisioning.template is missing"),
        ({"claim_certificate": None, "claim_private_key": None}, "claim_certificate and claim_private_key are missing"),
        ({"claim_certificate": "gone.pem"}, "agent.provisioning.claim_certificate must be a readable file: "),
    ],
)
def test_a_claim_that_cannot_be_used_is_said_before_anything_is_made(
    device: Device, said: Say, change: dict[str, object], expected: str
) -> None:
    device.configure(**change)
    assert 78 == device.run("--provision")
    assert expected in said()
    assert not list(device.etc.rglob("private.key"))


def test_half_a_pair_is_nobodys_to_complete(device: Device, said: Say) -> None:
    (device.etc / "certificate.pem").write_text("somebody's")
    assert 78 == device.run("--provision")
    assert "certificate.pem is there and " in said()


def age_journal(device: Device, seconds: float) -> None:
    """Let the certificate under way have been asked for so many seconds earlier."""
    path = device.etc / "identities" / "journal.json"
    journal = json.loads(path.read_text())
    path.write_text(json.dumps({**journal, "asked_at": journal["asked_at"] - seconds}))
