"""Things: a certificate and a bundle for each, and the end of what it may do; nothing is valid that nobody knows of."""

from __future__ import annotations

import errno
import io
import json
import os
import ssl
import stat
import tarfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")

import contextlib

from cryptography import x509

from defender_daemon.config import Config
from defender_detect.authority import things
from defender_detect.authority.certificates import is_issued_by
from defender_detect.authority.directory import Directory
from defender_detect.authority.passphrase import Passphrase
from defender_detect.authority.record import read_record
from defender_detect.authority.things import Wanted
from defender_detect.errors import AuthorityError
from defender_detect.receive.gate import Peer
from defender_detect.receive.revoked import read_listed
from device_defender.validation import read
from tests.detect.authority.home import LOCAL, NO_PHRASE, NOW, Killed, make, stopped_at
from tests.installers.test_device import load

ROOT = Path(__file__).resolve().parent.parent.parent.parent
MEMBERS = {"amazon-defender-publisher.json", "certificate.pem", "private.key", "roots.pem"}


class Home:
    """A directory that `init` made, and bundles beside it."""

    def __init__(self, path: Path) -> None:
        self.path, self.directory = path, Directory(path / "detect")
        path.mkdir(exist_ok=True)
        make(self.directory.path)

    def bundle(self, thing: str = "rpi-0001") -> Path:
        return self.path / f"{thing}.tar"

    def add(self, thing: str = "rpi-0001", now: datetime = NOW, do: Any = things.add, **options: Any) -> list[str]:
        wanted = Wanted(thing, 18883, **{"output": self.bundle(thing), **options})
        return list(do(self.directory, wanted, now, NO_PHRASE))

    def renew(self, thing: str = "rpi-0001", **options: Any) -> list[str]:
        return self.add(thing, do=things.renew, **options)

    def remove(self, thing: str = "rpi-0001", now: datetime = NOW) -> list[str]:
        return list(things.remove(self.directory, thing, now, NO_PHRASE))

    def refusal(self, thing: str = "rpi-0001", **options: Any) -> str:
        with pytest.raises(AuthorityError) as caught:
            self.add(thing, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def certificate(self, thing: str = "rpi-0001") -> x509.Certificate:
        return x509.load_pem_x509_certificate(unpack(self.bundle(thing))["certificate.pem"])

    def is_shut_out(self, certificate: x509.Certificate, thing: str = "rpi-0001") -> bool:
        return read_listed(self.directory.revoked).covers(Peer(thing, certificate.serial_number))

    def valid_serials(self) -> set[int]:
        """The certificates that were issued and that the broker lets in."""
        serials = {int(each.serial, 16) for each in read_record(self.directory.record).certificates}
        return serials - read_listed(self.directory.revoked).serials


def unpack(path: Path) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_the_bundle_is_what_the_installers_read(home):
    home.add()
    installer = load()
    bundle = installer["bundle"]
    files = bundle.read_bundle(home.bundle())
    assert set(files) == set(installer["etc"].MODES) == MEMBERS
    assert installer["identity"].identity_of(files) == ("rpi-0001", "localhost")
    home.bundle().write_bytes(home.bundle().read_bytes()[:1000])
    with pytest.raises(installer["problem"].Problem):  # so that the reader is one that refuses
        bundle.read_bundle(home.bundle())


def test_the_bundle_is_what_deploy_py_writes_but_for_the_identity(home):
    from infrastructure import bundles

    assert {bundles.CONFIG, bundles.CERTIFICATE, bundles.PRIVATE_KEY, bundles.ROOTS} == MEMBERS
    home.add()
    ours = unpack(home.bundle())
    assert home.bundle().read_bytes() == bundles._pack(ours)
    fleet = bundles.read_device_config(ROOT / "configs" / "amazon-defender-publisher-fleet.json")
    theirs = json.loads(bundles._fill_in(fleet, "localhost", thing_name="rpi-0001"))
    theirs["agent"]["authentication"]["port"] = 18883
    assert json.loads(ours["amazon-defender-publisher.json"]) == theirs


def test_the_bundles_configuration_is_one_that_the_publisher_takes(home):
    home.add()
    config = read(json.loads(unpack(home.bundle())["amazon-defender-publisher.json"]), Config)
    assert config.agent.thing_name == "rpi-0001"
    assert (config.agent.authentication.endpoint, config.agent.authentication.port) == ("localhost", 18883)


def test_the_key_is_in_the_bundle_alone_which_only_the_owner_reads(home):
    before = os.umask(0)
    try:
        home.add()
    finally:
        os.umask(before)
    key = unpack(home.bundle())["private.key"]
    assert stat.S_IMODE(home.bundle().stat().st_mode) == 0o600
    elsewhere = [each for each in home.directory.path.rglob("*") if each.is_file() and key in each.read_bytes()]
    assert elsewhere == []
    with tarfile.open(home.bundle()) as tar:
        assert {each.name: each.mode for each in tar} == dict.fromkeys(MEMBERS, 0o644) | {"private.key": 0o600}


def test_certificate_key_and_roots_of_a_bundle_belong_together(home, tmp_path):
    home.add("gateway:1")
    for name, content in unpack(home.bundle("gateway:1")).items():
        (tmp_path / name).write_bytes(content)
    context = ssl.create_default_context(cafile=str(tmp_path / "roots.pem"))
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "private.key")
    certificate = home.certificate("gateway:1")
    authority = x509.load_pem_x509_certificate(home.directory.authority_certificate.read_bytes())
    assert is_issued_by(certificate, authority)
    assert certificate.subject.rfc4514_string() == "CN=gateway:1"
    assert certificate.not_valid_after_utc == authority.not_valid_after_utc


def test_a_thing_is_added_once(home):
    home.add()
    before = home.bundle().read_bytes()
    said = home.refusal()
    assert said.startswith("rpi-0001 has a certificate already, valid until 2036-11-")
    assert "`renew rpi-0001` issues another one, `remove rpi-0001` shuts it out" in said
    assert home.bundle().read_bytes() == before


def test_who_is_removed_is_shut_out_with_every_certificate_and_can_be_added_again(home):
    home.add()
    first = home.certificate()
    home.renew()
    second = home.certificate()
    assert not home.is_shut_out(first)
    assert not home.is_shut_out(second)
    assert home.remove() == ["rpi-0001 is shut out: 2 certificates revoked"]
    assert home.remove() == ["rpi-0001 is shut out already: 2 certificates revoked"]
    assert home.is_shut_out(first)
    assert home.is_shut_out(second)
    home.add()
    assert not home.is_shut_out(home.certificate())
    assert home.is_shut_out(first)


def test_to_remove_twice_is_to_remove_once(home):
    home.add()
    home.remove()
    before = home.directory.revoked.read_bytes()
    home.remove(now=NOW + timedelta(days=2))
    assert home.directory.revoked.read_bytes() == before


def test_the_lines_of_people_stay_in_the_list_of_who_is_shut_out(home):
    home.add()
    home.directory.revoked.write_bytes(b"thing intruder # \xc3\xa4 no newline at the end")
    home.remove()
    listed = read_listed(home.directory.revoked)
    assert listed.things == {"intruder"}
    assert len(listed.serials) == 1


def test_a_renewed_thing_has_another_key_and_its_old_certificate_meanwhile(home):
    home.add()
    before = unpack(home.bundle())
    said = home.renew()
    after = unpack(home.bundle())
    assert before["private.key"] != after["private.key"]
    assert before["amazon-defender-publisher.json"] == after["amazon-defender-publisher.json"]
    assert "can use the one that it has until it is removed or that ends" in said[-1]
    assert "has no certificate that could be renewed" in home.refusal("rpi-0002", do=things.renew)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rpi 1", "a thing's name must be 1 to 128 of the characters a-z A-Z 0-9 : _ -, as in AWS IoT, got 'rpi 1'"),
        ("../../etc/passwd", "a thing's name must be 1 to 128 of the characters"),
        ("", "got ''"),
        ("küche", r"got 'k\xfcche'"),
        ("a" * 129, "a thing's name must be 1 to 128"),
        ("a" * 65, "must have at most 64 characters here, because a certificate has room for no more, got 65"),
        ("amazon-defender-detect", "a thing cannot be called amazon-defender-detect, as a part of Detect is called"),
        ("mosquitto", "a thing cannot be called mosquitto"),
    ],
)  # fmt: skip
def test_a_name_that_no_thing_can_have_is_said(home, name, said):
    assert said in home.refusal(name, output=home.bundle("x"))
    assert not home.bundle("x").exists()
    assert read_record(home.directory.record).certificates == []


def test_another_file_in_the_bundles_place_stays(home):
    home.bundle().write_text("precious")
    assert home.refusal().endswith("is there already: move it away, or name another file by --output")
    assert home.bundle().read_text() == "precious"
    assert home.valid_serials() == set()


def test_a_link_in_the_bundles_place_leads_no_key_anywhere(home, tmp_path):
    (tmp_path / "precious").write_text("precious")
    home.bundle().symlink_to(tmp_path / "precious")
    assert "a link or a special file is neither followed nor replaced" in home.refusal()
    assert (tmp_path / "precious").read_text() == "precious"


def test_the_endpoint_is_one_that_detects_certificate_is_for(home):
    assert "Detect's certificate is for localhost, 127.0.0.1, ::1, and not for other.home: run init" in home.refusal(
        endpoint="other.home"
    )
    (line, *_) = home.add(endpoint="127.0.0.1")
    assert "for 127.0.0.1 port 18883" in line


def test_a_clock_of_1970_is_said(home):
    assert "clock says 1970-01-01" in home.refusal(now=datetime(1970, 1, 1, tzinfo=timezone.utc))
    assert "before the authority of" in home.refusal(now=NOW - timedelta(days=2))


def test_a_directory_without_an_authority_is_said(tmp_path):
    with pytest.raises(AuthorityError, match="none/authority: run amazon-defender-detect init"):
        list(things.add(Directory(tmp_path / "none"), Wanted("a", 8883), NOW, NO_PHRASE))


def test_who_was_never_added_cannot_be_removed(home):
    with pytest.raises(AuthorityError, match="no certificate was issued to 'nobody'"):
        home.remove("nobody")


@pytest.mark.parametrize("error", [Killed(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))], ids=["kill", "full"])
def test_stopped_at_any_step_nothing_is_valid_that_is_in_no_bundle(tmp_path, error):
    for step in range(1, 1000):
        home = Home(tmp_path / str(step))
        with stopped_at(step, error) as is_stopped:
            with contextlib.suppress(Killed, AuthorityError):
                home.add()
            if not is_stopped():
                assert step > 10
                return
        if read_record(home.directory.record).current("rpi-0001") is None:
            home.add()
        assert home.valid_serials() == {home.certificate().serial_number}
        assert read_record(home.directory.record).current("rpi-0001") is not None
    pytest.fail("it never ended")


def test_stopped_at_any_step_of_a_removal_the_next_one_completes_it(tmp_path):
    for step in range(1, 1000):
        home = Home(tmp_path / str(step))
        home.add()
        with stopped_at(step, Killed()) as is_stopped:
            with contextlib.suppress(Killed):
                home.remove()
            if not is_stopped():
                return
        home.remove()
        assert home.valid_serials() == set()
        assert read_record(home.directory.record).current("rpi-0001") is None
    pytest.fail("it never ended")


def test_detects_certificate_is_renewed_for_the_same_key_and_names(home):
    directory = home.directory
    key, before = directory.key.read_bytes(), directory.certificate.read_bytes()
    list(things.renew_server(directory, NOW + timedelta(days=400), NO_PHRASE))
    assert directory.key.read_bytes() == key
    assert directory.certificate.read_bytes() != before
    assert make(directory.path, LOCAL) == []


def test_an_authority_with_a_pass_phrase_issues_by_it_and_shuts_out_without(tmp_path):
    (tmp_path / "phrase").write_text("secret")
    passphrase, directory = Passphrase(tmp_path / "phrase"), Directory(tmp_path / "detect")
    make(directory.path, passphrase=passphrase)
    wanted = Wanted("rpi-0001", 8883, tmp_path / "rpi-0001.tar")
    with pytest.raises(AuthorityError, match="--passphrase-file"):
        list(things.add(directory, wanted, NOW, NO_PHRASE))
    list(things.add(directory, wanted, NOW, passphrase))
    list(things.remove(directory, "rpi-0001", NOW, NO_PHRASE))
    assert len(read_listed(directory.revoked).serials) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_bundle_belongs_to_whoever_called_sudo(home, monkeypatch):
    monkeypatch.setenv("SUDO_UID", "65534")
    monkeypatch.setenv("SUDO_GID", "65534")
    home.add()
    status = home.bundle().stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (65534, 65534, 0o600)
    home.renew()  # which replaces it
    assert home.directory.record.stat().st_uid == 0
