"""SIGKILL at every step and at every change of a file, answers lost, and all of them in turn: one key, one certificate.

The slow suite ends processes (`ended.py`), and begins with a device for each step, each change of a file and each lost
answer. `make test` ends the program in this process at each step in turn, which is the worst of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fakes.provisioning import ACTIVE, INACTIVE, LOST, ProvisioningBroker
from tests.publisher.provisioning.device import Device, make_plain
from tests.waiting import PATIENCE

CLAIM = (
    "begun", "key made", "key kept", "connected", "certificate answered", "certificate noted", "registered",
    "name noted", "verified", "turned", "link certificate.pem", "link private.key", "journal removed",
)  # fmt: skip
ROTATION = (
    "begun", "key made", "key kept", "connected", "certificate answered", "certificate noted", "registered",
    "name noted", "verified", "turned", "turn noted", "committed", "retired", "journal removed",
)  # fmt: skip
# In turn, a registration that was not heard shows by its token, so that the name is assumed.
AFTER_UNHEARD = {
    steps: ["name assumed" if each == "name noted" else each for each in steps] for steps in (CLAIM, ROTATION)
}
ASKED_TWICE = ("certificate answered",)  # the only step after which another certificate is asked for


def run(device: Device, option: str, kill_at: str = "") -> int:
    """Run the program as a process, which is ended at a step; return its status."""
    command = [sys.executable, "-m", "tests.publisher.provisioning.ended", option, str(device.config)]
    environment = {**os.environ, "KILL_AT": kill_at, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    print(kill_at, done.returncode, done.stdout, done.stderr)
    return done.returncode


def changes(device: Device, option: str) -> int:
    """Return how many changes of files a whole run makes."""
    command = [sys.executable, "-m", "tests.publisher.provisioning.ended", option, str(device.config)]
    environment = {**os.environ, "KILL_AT": "?"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    return int(done.stdout.split()[-1])


@pytest.fixture
def devices(tmp_path: Path, aws: ProvisioningBroker) -> Callable[[], Device]:
    """Make devices, each with a directory and a name of its own."""
    count = iter(range(1000))

    def make() -> Device:
        number = next(count)
        return Device(tmp_path / f"device-{number}", aws, f"rpi-{number:04}")

    return make


def assert_provisioned_once(device: Device, before: tuple[int, int] = (0, 0)) -> None:
    """See that the device has one key and one active certificate, and that another run changes nothing."""
    aws = device.broker
    assert ("", 1) == (device.pair_problem(), len(aws.of(device.thing)))
    assert 1 == aws.keys - before[0]
    found = device.everything()
    assert not [name for name in found if name.endswith((".new", "journal.json"))]
    assert 0 == run(device, "--provision")
    assert found == device.everything()


def assert_rotated(device: Device) -> None:
    """See that the pair in force is the thing's only active one, and that the cloud has ended the others."""
    aws = device.broker
    assert "" == device.pair_problem()
    others = [each.status for each in aws.certificates.values() if each.thing == device.thing]
    assert [ACTIVE] == [status for status in others if status != INACTIVE]
    assert not (device.etc / "identities" / "journal.json").exists()


class Ended(BaseException):
    """What ends the program in this process; nothing of it may catch this."""


@contextlib.contextmanager
def ended_at(step: str) -> Iterator[None]:
    """End the program at a step, as far as its files and the broker can tell."""

    class End(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if isinstance(record.args, tuple) and record.args[0] == step:
                raise Ended

    steps, end = logging.getLogger("defender_publisher.provisioning.progress"), End()
    steps.setLevel(logging.DEBUG)
    steps.addHandler(end)
    try:
        with pytest.raises(Ended):
            yield
    finally:
        steps.removeHandler(end)
        steps.setLevel(logging.NOTSET)


@pytest.mark.usefixtures("waits")
def test_a_claim_that_is_ended_at_every_step_in_turn_has_one_key_and_one_certificate(
    device: Device, aws: ProvisioningBroker
) -> None:
    for step in AFTER_UNHEARD[CLAIM]:
        with ended_at(step):
            device.run("--provision")
    assert 0 == device.run("--provision")
    assert ("", 1, 1) == (device.pair_problem(), aws.keys, len(aws.of(device.thing)))
    assert 2 == len(aws.certificates), "one was answered to a run that was ended before it could note it"


@pytest.mark.usefixtures("waits")
def test_at_every_step_at_which_a_rotation_is_ended_the_pair_in_force_is_let_in(device: Device) -> None:
    assert 0 == device.run("--provision")
    make_plain(device)
    for step in ("copied", *AFTER_UNHEARD[ROTATION]):
        with ended_at(step):
            device.run("--rotate")
        assert "" == device.pair_problem(), step
    assert 0 == device.run("--rotate")
    assert_rotated(device)


def heard(step: str, lost: str | None) -> str:
    """Return the step instead of those that are not done where it was not heard that a certificate was registered."""
    return "name assumed" if lost == "register" and step in ("registered", "name noted") else step


@pytest.mark.slow
@pytest.mark.parametrize("step", CLAIM)
@pytest.mark.parametrize("lost", [None, "csr", "register"])
def test_a_claim_that_is_ended_at_a_step(devices: Callable[[], Device], step: str, lost: str | None) -> None:
    device = devices()
    if lost is not None:
        device.broker.next_answers[lost] = [LOST]
    assert -signal.SIGKILL == run(device, "--provision", heard(step, lost))
    assert 0 == run(device, "--provision")
    assert_provisioned_once(device)
    asked = len(device.broker.certificates)
    assert asked == 1 + (step in ASKED_TWICE) + (lost == "csr")


@pytest.mark.slow
def test_a_claim_that_is_ended_before_every_change_of_a_file(devices: Callable[[], Device]) -> None:
    number = changes(devices(), "--provision")
    assert number > 20
    for change in range(1, number + 1):
        device = devices()
        before = device.broker.keys, len(device.broker.certificates)
        assert -signal.SIGKILL == run(device, "--provision", f"#{change}"), change
        assert 0 == run(device, "--provision"), change
        assert_provisioned_once(device, before)


@pytest.mark.slow
@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("lost", [None, "csr", "register", "commit"])
@pytest.mark.parametrize("step", ROTATION)
def test_a_rotation_that_is_ended_at_a_step(devices: Callable[[], Device], step: str, lost: str | None) -> None:
    device = devices()
    assert 0 == device.run("--provision")
    if lost is not None:
        device.broker.next_answers[lost] = [LOST]
    assert -signal.SIGKILL == run(device, "--rotate", heard(step, lost))
    assert "" == device.pair_problem()
    assert 0 == run(device, "--rotate")
    assert_rotated(device)


@pytest.mark.slow
@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("plain", [False, True])
def test_a_rotation_that_is_ended_before_every_change_of_a_file(devices: Callable[[], Device], plain: bool) -> None:
    def made() -> Device:
        device = devices()
        assert 0 == device.run("--provision")
        if plain:
            make_plain(device)
        return device

    number = changes(made(), "--rotate")
    assert number > 20
    for change in range(1, number + 1):
        device = made()
        assert -signal.SIGKILL == run(device, "--rotate", f"#{change}"), change
        assert "" == device.pair_problem(), change
        assert 0 == run(device, "--rotate"), change
        assert_rotated(device)


@pytest.mark.slow
def test_a_process_that_is_ended_at_every_step_in_turn(devices: Callable[[], Device], aws: ProvisioningBroker) -> None:
    device = devices()
    for option, steps in (("--provision", CLAIM), ("--rotate", ROTATION)):
        for step in AFTER_UNHEARD[steps]:
            assert -signal.SIGKILL == run(device, option, step)
            assert option == "--provision" or "" == device.pair_problem(), step
        assert 0 == run(device, option)
    assert_rotated(device)
    assert 3 == aws.keys, "the claim's, and two rotations': the first was done when it was ended at its last step"
