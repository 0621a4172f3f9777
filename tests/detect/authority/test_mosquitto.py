"""mosquitto as Debian has it takes the files that `init --mosquitto` writes, and keeps each thing to its own."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("paho.mqtt")

from cryptography import x509

from defender_detect.authority import mosquitto, things
from defender_detect.authority.directory import Directory
from defender_detect.authority.initialization import Wish
from defender_detect.authority.things import Wanted
from defender_detect.config_file import read_config
from defender_detect.receive.credentials import Credentials
from defender_detect.receive.endpoint import Endpoint
from tests.detect.authority.home import NO_PHRASE, make
from tests.detect.authority.test_things import unpack
from tests.detect.receive.raw_client import DISCONNECT, HOST, RawClient, publish, subscribe
from tests.publisher.test_end_to_end import MOSQUITTO
from tests.waiting import wait_until

NOW = datetime.now(timezone.utc)  # mosquitto goes by the machine's clock
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


class Site:
    """A directory for mosquitto, and a mosquitto."""

    def __init__(self, path: Path, port: int) -> None:
        self.path, self.directory, self.port = path, Directory(path / "detect"), port
        make(self.directory.path, Wish(hosts=["localhost"], port=port, mosquitto=True), NOW)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self.path / "mosquitto.conf"
        listener = (self.directory.mosquitto / mosquitto.CONFIG).read_text()
        config.write_text(f"user {self.path.owner()}\npersistence false\n{listener}")
        for each in self.directory.mosquitto.iterdir():
            os.chown(each, os.geteuid(), os.getegid())
        self.process = subprocess.Popen([str(MOSQUITTO), "-c", str(config)], stderr=subprocess.DEVNULL)
        assert wait_until(lambda: socket.socket().connect_ex((HOST, self.port)) == 0)

    def thing(self, name: str) -> Credentials:
        bundle = self.path / f"{name}.tar"
        list(things.add(self.directory, Wanted(name, self.port, bundle), NOW, NO_PHRASE))
        folder = self.path / name
        folder.mkdir()
        for member, content in unpack(bundle).items():
            (folder / member).write_bytes(content)
        return Credentials(folder / "roots.pem", folder / "certificate.pem", folder / "private.key")

    def detect(self) -> Credentials:
        return Credentials(self.directory.roots, self.directory.certificate, self.directory.key)

    def connect(self, credentials: Credentials, client_id: str) -> RawClient:
        return RawClient(Endpoint(HOST, self.port), credentials).connect(client_id)


@pytest.fixture
def site(tmp_path: Path, free_port: int) -> Iterator[Site]:
    site = Site(tmp_path, free_port)
    yield site
    if site.process is not None:
        site.process.kill()
        site.process.wait()


def topic(thing: str) -> str:
    return f"$aws/things/{thing}/defender/metrics/json"


@needs_mosquitto
def test_a_thing_reports_for_itself_alone_and_detect_hears_all(site):
    site.start()
    detect = site.connect(site.detect(), "detect").send(subscribe("$aws/things/+/defender/metrics/json"))
    assert detect.read()[0] == 0x90
    camera = site.connect(site.thing("camera"), "camera")
    camera.send(publish(topic("rpi-0001"), b"forged")).send(publish(topic("camera"), b"own"))
    camera.heard()
    assert detect.heard() == [(topic("camera"), b"own")]


@needs_mosquitto
def test_no_thing_hears_anothers_replies_and_only_detect_answers(site):
    site.start()
    camera = site.connect(site.thing("camera"), "camera").send(subscribe("#", "$aws/things/#"))
    camera.read()
    rpi = site.connect(site.thing("rpi-0001"), "rpi-0001").send(subscribe(topic("rpi-0001") + "/accepted"))
    rpi.read()
    camera.send(publish(topic("rpi-0001") + "/accepted", b"forged")).heard()
    detect = site.connect(site.detect(), "detect").send(publish(topic("rpi-0001") + "/accepted", b"{}"))
    detect.heard()
    assert rpi.heard() == [(topic("rpi-0001") + "/accepted", b"{}")]
    assert camera.heard() == []


@needs_mosquitto
def test_a_hostile_thing_cannot_push_another_out_by_its_client_id(site):
    site.start()
    rpi = site.connect(site.thing("rpi-0001"), "rpi-0001")
    hostile = site.connect(site.thing("camera"), "rpi-0001")
    assert hostile.heard() == []
    hostile.send(DISCONNECT)
    assert rpi.heard() == []  # it answers a ping, or the connection had ended
    assert rpi.send(subscribe(topic("rpi-0001") + "/accepted")).read()[0] == 0x90


def test_detect_joins_mosquitto_where_it_listens(site):
    config = read_config(site.directory.config, {})
    assert not config.agent.embedded_broker
    assert config.agent.authentication.endpoint == "127.0.0.1"
    assert f"listener {site.port} 127.0.0.1\n" in (site.directory.mosquitto / mosquitto.CONFIG).read_text()


def test_mosquitto_listens_for_everybody_unless_an_address_was_named(tmp_path):
    make(tmp_path / "d", Wish(hosts=["detect.home"], port=8883, mosquitto=True), NOW)
    assert "listener 8883\n" in (tmp_path / "d" / "mosquitto" / mosquitto.CONFIG).read_text()
    assert read_config(Directory(tmp_path / "d").config, {}).agent.authentication.endpoint == "localhost"


def test_the_list_of_the_revoked_is_valid_as_long_as_the_authority(site):
    site.thing("rpi-0001")
    (issued,) = things.read_record(site.directory.record).certificates
    list(things.remove(site.directory, "rpi-0001", NOW, NO_PHRASE))
    revoked = x509.load_pem_x509_crl((site.directory.mosquitto / mosquitto.REVOKED).read_bytes())
    authority = x509.load_pem_x509_certificate(site.directory.authority_certificate.read_bytes())
    assert [each.serial_number for each in revoked] == [int(issued.serial, 16)]
    assert revoked.is_signature_valid(authority.public_key())
    assert revoked.next_update_utc == authority.not_valid_after_utc


def test_a_certificate_for_other_names_is_one_for_mosquitto_too(site):
    make(site.directory.path, Wish(hosts=["detect.home"], port=site.port), NOW)
    certificate = x509.load_pem_x509_certificate((site.directory.mosquitto / mosquitto.CERTIFICATE).read_bytes())
    assert "detect.home" in things.hosts_of(certificate)


def test_what_people_changed_of_mosquittos_files_stays(site):
    access = site.directory.mosquitto / mosquitto.ACCESS
    access.write_text("user me\n")
    make(site.directory.path, Wish(hosts=["localhost"], port=site.port, mosquitto=True), NOW)
    assert access.read_text() == "user me\n"
