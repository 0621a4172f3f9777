"""An image whose devices get their certificates by a claim, up to an accepted report, in machines with a real systemd.

AWS IoT is a double, in a network that only the test and the machine have.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.authority import Authority
from tests.chaos.network import CLOUD_ADDRESS, Network
from tests.fakes.provisioning import ACTIVE, INACTIVE, ProvisioningBroker
from tests.installers.claims import write_claim
from tests.installers.machine import Machine
from tests.installers.site import (
    BUNDLE,
    COMMAND,
    ETC,
    INSTALL_WITHIN,
    KEY,
    PORT,
    SOURCE,
    STATE,
    STEPS,
    UNIT,
    WHEELS,
    WITHIN,
    Operator,
)
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(WITHIN)]

PROVISION, ROTATION = "amazon-defender-provision.service", "amazon-defender-rotation.service"
TIMER = "amazon-defender-provision.timer"
SERIAL = "/etc/device-serial"
# It says nothing to root, who must not run what a claim brings.
INSTANCE = {"prefix": "pump", "command": f'[ "$(id -un)" = amazon-defender-publisher ] && cat {SERIAL}'}
CLAIM = ("--claim", f"{BUNDLE}/claim.tar")
CLAIMED = (*STEPS[:7], "provision", *STEPS[7:])
INSTALL = ("bash", f"{SOURCE}/installers/install-rpi.bash", "--wheelhouse", WHEELS)
NewDevice = Callable[..., Machine]


@dataclass
class Fleet:
    """A network with a double of AWS IoT in it, the claim of its fleet, and what machines see of the host."""

    network: Network
    cloud: ProvisioningBroker
    shared: dict[Path, str]

    def machine(self, directory: Path, *layers: Path) -> Machine:
        """Return a machine on the fleet's network, which is not switched on yet."""
        return Machine(layers, directory, self.network.device, self.shared)


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, source: Path, wheels: Path
) -> Iterator[Fleet]:
    """A fleet whose devices have their serial number in a file."""
    network = Network()
    with network.cloud.entered():
        listener = socket.create_server((CLOUD_ADDRESS, PORT))
    directory = tmp_path_factory.mktemp("claim")
    cloud = ProvisioningBroker(directory, authority, CLOUD_ADDRESS, listener)
    write_claim(directory / "claim.tar", cloud, CLOUD_ADDRESS, PORT, instance=INSTANCE)
    yield Fleet(network, cloud, {source: SOURCE, wheels: WHEELS, directory: BUNDLE})
    cloud.close()
    network.close()


@pytest.fixture(scope="module")
def image(minimal_root: Path, tmp_path_factory: pytest.TempPathFactory, fleet: Fleet) -> list[Path]:
    """The layers of an image that was made in the files of a machine that is off."""
    machine = fleet.machine(tmp_path_factory.mktemp("image"), minimal_root)
    done = machine.run_unbooted(*INSTALL, *CLAIM, "--first-boot", "--forget-claim", within=INSTALL_WITHIN)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert [] == fleet.cloud.kept.asked, "nobody was asked"
    assert " 8/11  provision      at the first boot, by amazon-defender-provision.service\n" in done.stdout
    assert done.stdout.endswith("11/11  verdict        none before the first boot\n")
    return machine.layers


@pytest.fixture
def new_device(tmp_path: Path, fleet: Fleet, image: list[Path]) -> Iterator[NewDevice]:
    """Boot a device of the image with a serial number; it is gone after the test."""
    made: list[Machine] = []

    def new_device(serial: str, target: str = "") -> Machine:
        machine = fleet.machine(tmp_path / serial, *image)
        (machine.upper / "etc").mkdir()
        (machine.upper / SERIAL.lstrip("/")).write_text(f"{serial}\n")
        made.append(machine)
        machine.boot(target)
        return machine

    yield new_device
    for machine in made:
        machine.close()


def reports_of(fleet: Fleet, thing: str) -> int:
    """Return how many reports of a thing were answered."""
    return sum(topic == f"$aws/things/{thing}/defender/metrics/json" for topic, _, _ in fleet.cloud.seen.publishes)


def says(machine: Machine, *words: str) -> str:
    """Return what a command says in a machine, stripped."""
    return machine.run(*words).stdout.strip()


def status_of(machine: Machine, unit: str = UNIT) -> str:
    """Return what systemd says about a unit."""
    return machine.run("systemctl", "status", "--no-pager", "--full", unit).stdout


def test_devices_of_one_image_become_things_of_their_own_and_report(fleet: Fleet, new_device: NewDevice) -> None:
    for serial in ("0001", "0002"):
        become_a_thing(fleet, new_device(serial), f"pump-{serial}")
    assert 2 == fleet.cloud.keys, "each has made a key of its own"
    assert b"PRIVATE KEY" not in fleet.cloud.kept.traffic


def become_a_thing(fleet: Fleet, machine: Machine, thing: str) -> None:
    """See a device provision itself at its first boot, and only report at its second; switch it off."""
    assert wait_until(lambda: reports_of(fleet, thing) > 0), status_of(machine, PROVISION) + status_of(machine)
    assert 1 == len(fleet.cloud.of(thing, ACTIVE))
    assert "600 root" == says(machine, "stat", "-L", "-c", "%a %U", str(KEY))
    left = {"amazon-defender-publisher.json", "certificate.pem", "identities", "identity", "private.key", "roots.pem"}
    assert left == {*says(machine, "ls", "-A", str(ETC)).split()}, "the claim is forgotten"
    assert wait_until(lambda: machine.run(COMMAND, "--status").returncode == 0)
    before, asked = files_of(machine), len(fleet.cloud.kept.asked)
    machine.switch_off()
    machine.boot()
    reported = reports_of(fleet, thing)
    assert wait_until(lambda: reports_of(fleet, thing) > reported), status_of(machine)
    assert (before, asked) == (files_of(machine), len(fleet.cloud.kept.asked)), "the second boot asks for nothing"
    machine.switch_off()


def files_of(machine: Machine) -> str:
    """Return what is in etc, with sizes and times."""
    return says(machine, "sh", "-c", f"find {ETC} -type f -o -type l | sort | xargs stat -c '%n %y %s'")


def test_a_device_without_a_network_waits_for_it_and_the_service_with_it(fleet: Fleet, new_device: NewDevice) -> None:
    fleet.network.unplug()
    try:
        machine = new_device("0003", "multi-user.target")  # which is not held up by it
        assert "activating" == says(machine, "systemctl", "is-active", PROVISION)
        assert "inactive" == says(machine, "systemctl", "is-active", UNIT), "which does not fail again and again"
    finally:
        fleet.network.plug_in()
    assert wait_until(lambda: reports_of(fleet, "pump-0003") > 0), status_of(machine, PROVISION)


def test_a_serial_number_that_is_refused_is_asked_for_again_by_the_timer_and_not_before(
    fleet: Fleet, new_device: NewDevice
) -> None:
    fleet.cloud.hook = lambda parameters: False
    try:
        machine = new_device("0004")
        assert wait_until(lambda: says(machine, "systemctl", "is-active", PROVISION) == "failed")
        assert "AccessDenied" in status_of(machine, PROVISION)
        assert "77" == says(machine, "systemctl", "show", "-P", "ExecMainStatus", PROVISION)
        assert "active" == says(machine, "systemctl", "is-active", TIMER)
    finally:
        fleet.cloud.hook = lambda parameters: True
    sooner = f"/etc/systemd/system/{TIMER}.d"
    text = "[Timer]\\nOnUnitInactiveSec=\\nOnUnitInactiveSec=1s\\nRandomizedDelaySec=0\\nAccuracySec=1s\\n"
    write = f"mkdir {sooner} && printf '{text}' > {sooner}/sooner.conf"
    machine.run("sh", "-c", write, check=True)
    machine.run("systemctl", "daemon-reload", check=True)
    machine.run("systemctl", "restart", TIMER, check=True)
    assert wait_until(lambda: reports_of(fleet, "pump-0004") > 0), status_of(machine)


def test_a_wish_replaces_the_pair_within_seconds_and_nothing_else_stops_the_service(
    fleet: Fleet, new_device: NewDevice
) -> None:
    machine, thing = new_device("0005"), "pump-0005"
    assert wait_until(lambda: reports_of(fleet, thing) > 0), status_of(machine)
    pid, old = (
        says(machine, "systemctl", "show", "-P", "MainPID", UNIT),
        says(machine, "cat", str(ETC / "certificate.pem")),
    )
    machine.run("systemctl", "start", ROTATION, check=True)
    assert pid == says(machine, "systemctl", "show", "-P", "MainPID", UNIT), "nothing is due"
    fleet.cloud.wish("2026-12-01T10:00:00Z")
    fleet.cloud.drop()  # the service connects again, and asks for its shadow
    assert wait_until(lambda: fleet.cloud.kept.committed != []), status_of(machine, ROTATION)
    assert (1, 1) == (len(fleet.cloud.of(thing, ACTIVE)), len(fleet.cloud.of(thing, INACTIVE)))
    reported = reports_of(fleet, thing)
    assert wait_until(lambda: reports_of(fleet, thing) > reported), status_of(machine)
    assert old != says(machine, "cat", str(ETC / "certificate.pem"))
    assert "identities/b" == says(machine, "readlink", str(ETC / "identity"))
    assert "" == says(machine, "sh", "-c", f"ls {STATE} | grep rotation")
    print(
        f"the service was away for {outage_of(machine):.1f} s"
    )  # demanded are 5; 2 on a machine that does nothing else


def outage_of(machine: Machine) -> float:
    """Return the seconds from the last stop of the service to its next connection, as the journal has them."""
    lines = says(machine, "journalctl", "--no-pager", "-o", "short-unix", "-u", UNIT).splitlines()
    stopped = max(float(line.split()[0]) for line in lines if re.search(r": Stopping |INFO : stopping", line))
    return (
        min(float(line.split()[0]) for line in lines if "connected to" in line and float(line.split()[0]) > stopped)
        - stopped
    )


def test_a_purge_leaves_nothing_of_what_a_claim_brought(fleet: Fleet, new_device: NewDevice) -> None:
    machine = new_device("0006")
    assert wait_until(lambda: reports_of(fleet, "pump-0006") > 0), status_of(machine)
    done = machine.run("bash", f"{SOURCE}/installers/uninstall-rpi.bash", "--purge")
    assert (0, "") == (done.returncode, done.stderr)
    found = says(machine, "sh", "-c", "find /etc/systemd /opt /var/lib -name '*amazon*'")
    assert "" == found
    assert "" == says(machine, "systemctl", "list-unit-files", "--no-legend", "amazon*")


def test_an_image_that_became_a_thing_is_no_image_any_more(fleet: Fleet, new_device: NewDevice) -> None:
    machine = new_device("0007")
    assert wait_until(lambda: reports_of(fleet, "pump-0007") > 0), status_of(machine)
    done = machine.run(*INSTALL, *CLAIM, "--first-boot", within=INSTALL_WITHIN)
    assert 1 == done.returncode
    assert "an image must have no identity, but identities, identity, private.key, certificate.pem is in" in done.stderr
    done = machine.run(*INSTALL, *CLAIM, within=INSTALL_WITHIN)
    assert 0 == done.returncode, done.stderr
    assert "already provisioned as pump-0007" in done.stdout
    assert "not-found" == says(machine, "systemctl", "show", "-P", "LoadState", PROVISION), (
        "an upgrade needs it no more"
    )
    config = json.loads(says(machine, "cat", f"{ETC}/amazon-defender-publisher.json"))
    assert INSTANCE == config["agent"]["instance"]


class Technician(Operator):
    """Who installs by a claim on a device that has no image."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine


def test_an_installation_by_claim_that_is_killed_at_every_step_ends_with_one_key_and_one_certificate(
    fleet: Fleet, minimal_root: Path, tmp_path: Path
) -> None:
    machine, thing = fleet.machine(tmp_path / "device", minimal_root), "pump-0008"
    try:
        machine.boot()
        technician = Technician(machine)
        technician.write(SERIAL, "0008\n")
        keys = fleet.cloud.keys
        for step in CLAIMED[:-2]:
            technician.begin_install(*CLAIM)
            technician.wait_for_step(step)
            technician.end_install("KILL")
        done = technician.install(*CLAIM)
        assert 0 == done.returncode, done.stdout + done.stderr
        assert (keys + 1, 1) == (fleet.cloud.keys, len(fleet.cloud.of(thing, ACTIVE)))
        before = files_of(machine)
        done = technician.install(*CLAIM)
        assert 0 == done.returncode, done.stdout + done.stderr
        assert [*CLAIMED] == re.findall(r"^ ?\d+/11  (\S+)", done.stdout, re.MULTILINE)
        assert before == files_of(machine), "a second run changes nothing"
    finally:
        machine.close()
