"""From nothing to a guarded device: an authority, Detect, a bundle, an accepted report, and the end of a device."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")

from defender_detect import questions
from defender_detect.__main__ import main
from defender_detect.authority import things
from defender_detect.authority.directory import Directory
from defender_detect.authority.renewals import Registered, Renewals, Renewed, write_renewals
from defender_detect.authority.things import Wanted
from defender_detect.config_file import read_config
from defender_detect.home import list_certificates
from defender_detect.receive.credentials import Credentials
from defender_detect.receive.endpoint import Endpoint
from tests.detect.authority.home import NO_PHRASE, make
from tests.detect.receive.raw_client import HOST, RawClient
from tests.publisher.test_end_to_end import MOSQUITTO, Program
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
DETECT, PUBLISHER = ROOT / "amazon-defender-detect", ROOT / "amazon-defender-publisher"
THING = "rpi-0001"


class Home:
    """A directory in which the commands of the tutorial are typed."""

    def __init__(self, directory: Path, port: int, *init: str) -> None:
        self.directory, self.port, self.home = directory, port, directory / "home"
        self.started: list[Program] = []
        self.said = self.type("init", self.home, "--listen", "localhost", "--port", port, *init)

    def type(self, *words: object, status: int = 0) -> str:
        """Do what a command does, in this process, and return what it prints."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert main(list(map(str, words))) == status
        return printed.getvalue()

    def add(self) -> str:
        return self.type("add", THING, "--directory", self.home, "--output", self.directory / f"{THING}.tar")

    def start(self, *command: object) -> Program:
        self.started.append(Program(*command))
        return self.started[-1]

    def start_detect(self) -> Program:
        detect = self.start(sys.executable, DETECT, self.home / "amazon-defender-detect.json")
        detect.wait_for("is ready on")
        return detect

    def install(self, thing: str = THING) -> Path:
        """Unpack a bundle as the installers do, and return the configuration."""
        device = self.directory / f"device-{thing}"
        device.mkdir(exist_ok=True)
        with tarfile.open(self.directory / f"{thing}.tar") as tar:
            for member in tar:
                path = device / member.name
                path.write_bytes(tar.extractfile(member).read())
                path.chmod(member.mode)
        return device / "amazon-defender-publisher.json"

    def report(self, config: Path) -> subprocess.CompletedProcess[str]:
        """Report once, as a device does."""
        environment = {**os.environ, "STATE_DIRECTORY": str(config.parent / "state")}
        return subprocess.run(
            [sys.executable, PUBLISHER, "--once", config], capture_output=True, text=True, timeout=PATIENCE,
            env=environment,
        )  # fmt: skip

    def connection(self, config: Path) -> RawClient:
        """A connection that stays open, with a device's certificate."""
        files = (config.parent / name for name in ("roots.pem", "certificate.pem", "private.key"))
        return RawClient(Endpoint(HOST, self.port), Credentials(*files)).connect("open")


@pytest.fixture
def started() -> Iterator[list[Home]]:
    homes: list[Home] = []
    yield homes
    for each in (program for home in homes for program in home.started):
        each.process.kill()
        each.process.wait()


@pytest.mark.skipif(sys.version_info < (3, 10), reason="amqtt needs Python 3.10 or later")
def test_from_nothing_to_a_guarded_device_with_the_built_in_broker(tmp_path, free_port, started):
    home = Home(tmp_path, free_port)
    started.append(home)
    assert "the built-in broker will listen on 127.0.0.1; only certificates of this authority get in" in home.said
    home.start_detect()
    assert f"{THING}.tar, for localhost port {free_port}" in home.add()
    config = home.install()
    assert "accepted" in home.report(config).stdout
    detects = home.home / "amazon-defender-detect.json"
    assert wait_until(lambda: THING in home.type("things", detects))  # it is on the disk within a second
    assert "the last one of rpi-0001" in home.type("doctor", detects)
    assert f"last report    of {THING}" in home.type("status", detects)
    open_connection = home.connection(config)
    assert "ends its connection within a second" in home.type("remove", THING, "--directory", home.home)
    assert open_connection.is_closed()
    refused = home.report(config)
    assert refused.returncode == 1
    assert "accepted" not in refused.stdout
    assert home.started[0].end() == 0
    assert "not running" in home.type("--status", detects, status=3)
    assert "removed on" in home.type("list", "--directory", home.home)


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
def test_from_nothing_to_a_guarded_device_with_mosquitto(tmp_path, free_port, started):
    home = Home(tmp_path, free_port, "--mosquitto")
    started.append(home)
    assert "/etc/mosquitto/conf.d/" in home.said
    listener = home.home / "mosquitto" / "amazon-defender-detect.conf"
    whole = tmp_path / "mosquitto.conf"  # as Debian's: it becomes its own user, and includes what is in conf.d
    whole.write_text(f"user {tmp_path.owner()}\npersistence false\nlog_dest stderr\n{listener.read_text()}")
    for each in (home.home / "mosquitto").iterdir():
        shutil.chown(each, tmp_path.owner())
    broker = home.start(MOSQUITTO, "-c", whole)
    broker.wait_for("running")
    home.start_detect()
    home.add()
    config = home.install()
    assert "accepted" in home.report(config).stdout
    open_connection = home.connection(config)
    assert "sudo systemctl restart mosquitto" in home.type("remove", THING, "--directory", home.home)
    broker.process.send_signal(signal.SIGHUP)  # reload: no new connection
    broker.wait_for("Reloading config")
    assert wait_until(lambda: "accepted" not in home.report(config).stdout)
    broker.end()  # restart: no open one either
    assert open_connection.is_closed()
    home.start(MOSQUITTO, "-c", whole).wait_for("running")
    refused = home.report(config)
    assert refused.returncode == 1
    assert "accepted" not in refused.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["init", "home", "--listen", "localhost", "/etc/elsewhere"],
            "--listen must be a host's name or address, got ",
        ),
        (["init", "home", "--listen", "0.0.0.0"], "--listen must be a name or an address that things reach"),
        (["add", THING, "--directory", "none"], "there is no none/amazon-defender-detect.json: run amazon-defender-"),
        (["remove", THING, "--directory", "none"], "there is no none/authority: run amazon-defender-detect init, or"),
        (["list", "--directory", "none"], "there is no none/authority/issued.json: run amazon-defender-detect init"),
    ],
)
def test_bad_input_is_one_sentence(words, said, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 78
    written = capfd.readouterr()
    assert written.out == ""
    assert written.err.startswith(f"amazon-defender-detect: {said}")
    assert written.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_python_without_cryptography_is_one_sentence(tmp_path):
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from defender_detect.__main__ import main; sys.exit(main(['init', 'home']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 78
    assert done.stderr.startswith("amazon-defender-detect: the Python package cryptography is missing; run: make -C ")
    assert list(tmp_path.iterdir()) == []


def test_things_and_list_say_whose_certificate_ends_soon(tmp_path, capsys):
    home = tmp_path / "home"
    now = datetime.now(timezone.utc)
    make(home, now=now)
    list(things.add(Directory(home), Wanted(THING, 1, tmp_path / "a.tar"), now, NO_PHRASE))
    record = json.loads((home / "authority" / "issued.json").read_text())
    record["certificates"][0]["issued"] -= 365 * 86_400
    record["certificates"][0]["ends"] = int(now.timestamp()) + 20 * 86_400 + 3600
    (home / "authority" / "issued.json").write_text(json.dumps(record))
    config = home / "amazon-defender-detect.json"
    questions.print_what_ends_soon(config, read_config(config, {}))
    sentence = f"the certificate of {THING} ends in 20 days: run amazon-defender-detect renew {THING}"
    assert capsys.readouterr().out == f"{sentence}\n"
    (line,) = [each for each in list_certificates(Directory(home), now, as_json=False) if each.startswith(THING)]
    assert f"(20 days): run amazon-defender-detect renew {THING}" in line
    (found,) = list_certificates(Directory(home), now, as_json=True)
    assert json.loads(found)["things"][0]["thing"] == THING
    questions.print_what_ends_soon(tmp_path / "elsewhere.json", read_config(config, {}))
    assert capsys.readouterr().out == ""


def test_a_thing_is_asked_to_renew_its_certificate_and_list_and_things_say_who_has_not(tmp_path, capsys):
    home = Home(tmp_path, 18883, "--renewal")
    assert "the service is given the key in " in home.said
    home.add()
    config = json.loads(home.install().read_text())
    assert config["agent"]["provisioning"] == {"rotation_template": "amazon-defender-rotate"}
    directory = ("--directory", home.home)
    assert f"{THING} is asked to renew its certificate" in home.type("renew", "--over-the-air", THING, *directory)
    sentence = f"{THING} has not renewed its certificate yet, asked to on "
    assert sentence in home.type("list", *directory)
    path = home.home / "amazon-defender-detect.json"
    capsys.readouterr()
    questions.print_what_ends_soon(path, read_config(path, {}))
    assert sentence in capsys.readouterr().out
    state = home.home / "state"
    state.mkdir()
    got = Registered(serial="A1", issued=int(time.time() * 1e6), ends=int(time.time()) + 90 * 86_400)
    committed = int(time.time()) + 1
    write_renewals(state, Renewals().with_thing(THING, Renewed(in_force=got, committed=committed)))
    said = home.type("list", *directory)
    assert sentence not in said
    assert "(90 days)" in said or "(89 days)" in said
    assert "renewed over the air on " in said
    assert THING in json.loads(home.type("list", "--json", *directory))["over_the_air"]


def test_every_thing_that_has_a_certificate_is_asked_by_all(tmp_path):
    home = Home(tmp_path, 18883, "--renewal")
    directory = ("--directory", home.home)
    assert "no thing has a certificate" in home.type("renew", "--all", *directory)
    home.add()
    home.type("add", "rpi-0002", *directory, "--output", tmp_path / "rpi-0002.tar")
    home.type("remove", "rpi-0002", *directory)
    assert f"{THING} is asked" in (said := home.type("renew", "--all", *directory))
    assert "rpi-0002" not in said


def test_where_it_is_not_allowed_it_is_refused_with_what_to_do(tmp_path, capsys):
    home = Home(tmp_path, 18883)
    home.add()
    assert "provisioning" not in json.loads(home.install().read_text())["agent"]
    home.type("renew", "--over-the-air", THING, "--directory", home.home, status=78)
    assert f"run amazon-defender-detect init --renewal {home.home}, or issue a bundle" in capsys.readouterr().err
    said = home.type("init", home.home, "--renewal")
    assert 'add "renewal": {"authority": "authority"} to agent in ' in said
    other = Home(tmp_path / "other", 18884, "--mosquitto")
    other.type("renew", "--all", "--directory", other.home, status=78)
    assert "would go to everybody who subscribes to them; `renew THING` issues a bundle" in capsys.readouterr().err


def test_a_thing_that_nobody_added_cannot_be_asked(tmp_path, capsys):
    home = Home(tmp_path, 18883, "--renewal")
    home.type("renew", "--over-the-air", "nobody", "--directory", home.home, status=78)
    assert "'nobody' has no certificate that could be renewed" in capsys.readouterr().err
