"""A device that has its fleet's claim only, and asks AWS IoT as a device does: step by step, as tests want it."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrastructure.keys import KeyStore
from tests.fakes.emulator import Account
from tests.fakes.mqtt_client import MqttClient
from tests.infrastructure.deployment import LONGEST_RUN, PUBLISHER, Machine
from tests.waiting import wait_until

CSR = "$aws/certificates/create-from-csr/json"
REGISTER = "$aws/provisioning-templates/{}/provision/json"
COMMITTED = "$aws/things/{}/shadow/name/rotation/update"
FLEET = "amazon-defender-publisher"
ROTATE = f"{FLEET}-rotate"


@dataclass(frozen=True)
class Pair:
    """A private key and its certificate."""

    certificate: Path
    private_key: Path
    certificate_id: str
    token: str


@dataclass(frozen=True)
class Claimant:
    """A device with the content of claim.tar in `directory`."""

    account: Account
    directory: Path

    def connect(self, client_id: str, certificate: Path | None = None, private_key: Path | None = None) -> MqttClient:
        """Return a client with the claim, or with another certificate, which may not be let in."""
        emulator, here = self.account.emulator, self.directory
        files = (certificate or here / "claim-certificate.pem", private_key or here / "claim-private.key")
        return MqttClient(emulator.mqtt_port, emulator.authority, *files, client_id)

    def claim(self, thing: str) -> MqttClient:
        """Return a connection with the claim."""
        client = self.connect(f"claim-{thing}")
        assert client.connect()
        return client

    def as_thing(self, thing: str, pair: Pair) -> MqttClient:
        """Return a client with a certificate of its own."""
        return self.connect(thing, pair.certificate, pair.private_key)

    def certify(self, client: MqttClient, name: str) -> Pair:
        """Make a key, and get a certificate for it, which is not registered yet."""
        store = KeyStore(self.directory / "keys")
        verdict, document = ask(client, CSR, {"certificateSigningRequest": store.renew(name)})
        assert "accepted" == verdict, document
        assert {"certificateId", "certificateOwnershipToken", "certificatePem"} == set(document)
        assert store.settle(name, document["certificatePem"], store.renew(name))
        where = store.certificate(name), store.private_key(name)
        return Pair(*where, document["certificateId"], document["certificateOwnershipToken"])

    def register(
        self, client: MqttClient, pair: Pair, thing: str, serial: str | None = None, template: str = FLEET
    ) -> tuple[str, Any]:
        """Register a certificate for a thing; return the verdict and what it says."""
        parameters = {"ThingName": thing, "SerialNumber": thing if serial is None else serial}
        request = {"certificateOwnershipToken": pair.token, "parameters": parameters}
        return ask(client, REGISTER.format(template), request)

    def provision(self, thing: str, serial: str | None = None, keys: str = "") -> tuple[str, Any, Pair]:
        """Do all of it; `keys` is where the key is kept, for a second device of the name."""
        client = self.claim(thing)
        pair = self.certify(client, keys or thing)
        verdict, document = self.register(client, pair, thing, serial)
        client.close()
        return verdict, document, pair

    def status(self, pair: Pair) -> str:
        """Return what AWS IoT has of a certificate: PENDING_ACTIVATION, ACTIVE, INACTIVE."""
        answer = self.account.client("iot").describe_certificate(certificateId=pair.certificate_id)
        return str(answer["certificateDescription"]["status"])


@dataclass(frozen=True)
class Machinery:
    """A device as it is in the field: claim.tar below its etc, and the publisher's own commands."""

    etc: Path
    thing: str
    account: Account

    @property
    def config(self) -> Path:
        return self.etc / "amazon-defender-publisher.json"

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the publisher."""
        command = [sys.executable, str(PUBLISHER), *options, str(self.config)]
        return subprocess.run(command, cwd=self.etc, capture_output=True, text=True, timeout=LONGEST_RUN)

    def hear_wish(self) -> bool:
        """Run the daemon until it has heard that this device is to rotate."""
        wanted = self.etc.parent / "state" / "rotation-wanted.json"
        command = [sys.executable, str(PUBLISHER), str(self.config)]
        with subprocess.Popen(command, cwd=self.etc, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as daemon:
            heard = wait_until(wanted.exists)
            daemon.terminate()
            daemon.communicate()
        return heard

    def provision(self) -> int:
        """Provision this device in this process, without what starts a program; return the exit status."""
        from defender_publisher.provisioning.commands import provision_device

        return provision_device(self.config, {})


def place(machine: Machine, thing: str) -> Machinery:
    """Bring a machine's claim to a device of a name, which reaches AWS where the emulator is."""
    etc = machine.directory / "devices" / thing / "etc"
    etc.mkdir(parents=True)
    with tarfile.open(machine.directory / "fleet" / "claim.tar") as bundle:
        bundle.extractall(etc)
    device = Machinery(etc, thing, machine.account)
    document = json.loads(device.config.read_text())
    document["agent"] |= {"thing_name": thing, "state_directory": str(etc.parent / "state")}
    (etc.parent / "state").mkdir()
    document["agent"]["authentication"] |= {"endpoint": "localhost", "port": machine.account.emulator.mqtt_port}
    document["agent"].pop("instance", None)
    device.config.write_text(json.dumps(document))
    (etc / "roots.pem").write_bytes(machine.account.emulator.authority.read_bytes())
    return device


def ask(client: MqttClient, topic: str, request: Mapping[str, Any]) -> tuple[str, Any]:
    """Ask one of fleet provisioning's questions; return `accepted` or `rejected`, and the document."""
    for answer in ("accepted", "rejected"):
        assert client.subscribe(f"{topic}/{answer}")
    assert client.publish(topic, json.dumps(request))
    received = client.receive()
    assert received is not None
    return received[0].rpartition("/")[2], json.loads(received[1])


def unpack(machine: Machine, output: str = "fleet") -> Claimant:
    """Bring a machine's claim to a device."""
    place = machine.directory / "devices" / "claim"
    place.mkdir(parents=True, exist_ok=True)
    with tarfile.open(machine.directory / output / "claim.tar") as bundle:
        bundle.extractall(place)
    return Claimant(machine.account, place)
