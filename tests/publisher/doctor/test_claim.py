"""The doctor says which of connect, CSR, template and hook refuses a claim, and uses no certificate up for it."""

from __future__ import annotations

import pytest

from tests.fakes.provisioning import DENIED, ProvisioningBroker
from tests.publisher.provisioning.device import Device, Say

pytestmark = pytest.mark.usefixtures("waits")


def test_before_provisioning_the_claim_is_tried_and_no_certificate_is_asked_for(
    device: Device, aws: ProvisioningBroker, said: Say
) -> None:
    assert 1 == device.run("--doctor")
    shown = said()
    assert "OK    claim                 it connects, and may ask; nothing was asked for\n" in shown
    assert "FAIL  key and certificate   this device has no certificate yet\n" in shown
    assert f"-> run: sudo amazon-defender-publisher --provision {device.config}\n" in shown
    assert ({}, []) == (aws.certificates, aws.kept.asked)


def test_a_claim_that_is_not_let_in_is_said(device: Device, aws: ProvisioningBroker, said: Say) -> None:
    aws.claim_active = False
    assert 1 == device.run("--doctor")
    assert "FAIL  claim                 connect: as claim-rpi-0001: the broker refused the connection" in said()


@pytest.mark.parametrize(
    ("call", "step"),
    [("csr", "CSR"), ("register", "hook")],
)
def test_what_refused_the_last_run_is_said(
    device: Device, aws: ProvisioningBroker, said: Say, call: str, step: str
) -> None:
    aws.next_answers[call] = [DENIED]
    assert 77 == device.run("--provision")
    asked = len(aws.kept.asked)
    assert 1 == device.run("--doctor")
    assert f"FAIL  claim                 the last run failed: {step}: AccessDenied: Access Denied" in said()
    assert asked == len(aws.kept.asked)


def test_a_claim_that_cannot_be_read_is_said_without_the_network(device: Device, said: Say) -> None:
    device.configure(claim_private_key="gone.key")
    assert 1 == device.run("--doctor")
    assert "agent.provisioning.claim_private_key must be a readable file" in said()


def test_a_device_with_a_certificate_of_its_own_needs_no_claim(device: Device, said: Say) -> None:
    assert 0 == device.run("--provision")
    assert 0 == device.run("--doctor"), said()
    assert "OK    claim                 not needed any more: this device has a certificate of its own\n" in said()
