"""The device's own `--rotate` at the built-in broker: whatever is ended in between, one pair is in force and let in."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
pytest.importorskip("AWSIoTPythonSDK")
if sys.version_info < (3, 10):
    pytest.skip("amqtt needs Python 3.10 or later", allow_module_level=True)
pytest.importorskip("amqtt")

from defender_detect.__main__ import main as detect_main
from defender_detect.authority import things
from defender_detect.authority.renewals import read_renewals
from defender_detect.receive.credentials import Credentials
from defender_publisher.__main__ import main
from tests.detect.authority.home import Killed
from tests.detect.authority.test_things import unpack
from tests.detect.receive.test_asking import Home, now
from tests.detect.receive.test_receiver import Listening
from tests.detect.test_home import DETECT, PUBLISHER
from tests.detect.test_home import Home as AtHome
from tests.publisher.conftest import waits
from tests.publisher.test_end_to_end import Program
from tests.waiting import PATIENCE, wait_until

THING = "rpi-0001"
STEPS = "defender_publisher.provisioning.progress"
__all__ = ["waits"]  # a fixture

pytestmark = pytest.mark.usefixtures("waits")


class Device:
    """What an installer made of a bundle, and the program that is run on it in this process."""

    def __init__(self, home: Home, thing: str = THING) -> None:
        home.add(thing)
        self.home, self.thing, self.etc = home, thing, home.path / f"device-{thing}"
        (self.etc / "state").mkdir(parents=True)
        for name, content in unpack(home.path / f"{thing}.tar").items():
            (self.etc / name).write_bytes(content)
            (self.etc / name).chmod(0o600)
        self.first = self.keep("first")

    @property
    def config(self) -> Path:
        return self.etc / "amazon-defender-publisher.json"

    def configure(self, **agent: object) -> None:
        document = json.loads(self.config.read_text())
        document["agent"].update({"state_directory": "state", **agent})
        self.config.write_text(json.dumps(document))

    def run(self, *options: str) -> int:
        return main([*options, str(self.config)])

    def keep(self, name: str) -> Credentials:
        """Return a copy of the pair in force, to be tried later."""
        pair = ((self.etc / each).read_bytes() for each in ("certificate.pem", "private.key"))
        return self.home.keep(f"{self.thing}-{name}", *pair)

    def is_let_in(self) -> bool:
        """Tell whether the pair in force belongs together, and lets the device in."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(self.etc / "certificate.pem", self.etc / "private.key")
        return self.home.lets_in(self.keep("now"))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.broker.stop()


@pytest.fixture
def device(home: Home) -> Device:
    device = Device(home)
    device.configure()
    return device


@pytest.fixture
def at_each_step() -> Iterator[list[Callable[[str], None]]]:
    """What is done after each step of a rotation that leaves something behind."""
    todo: list[Callable[[str], None]] = []

    class Steps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            for each in todo:
                each(record.getMessage().removeprefix("done: "))

    log, handler = logging.getLogger(STEPS), Steps()
    level = log.level
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    yield todo
    log.removeHandler(handler)
    log.setLevel(level)


def test_a_device_rotates_and_its_old_certificate_and_another_ones_are_refused(home: Home, device: Device) -> None:
    other = Device(home, "rpi-0002")
    list(things.renew_over_the_air(home.directory, [THING], now()))
    assert 0 == device.run("--rotate")
    assert device.is_let_in()
    assert not home.lets_in(device.first)
    assert other.is_let_in()
    assert 0 == device.run("--rotate")  # from what it got over the air to the next one
    assert device.is_let_in()
    assert [THING] == list(read_renewals(home.directory.path / "state").things)


def test_a_device_cannot_rotate_for_another_one(home: Home, device: Device) -> None:
    other = Device(home, "rpi-0002")
    device.configure(thing_name="rpi-0002")
    assert device.run("--rotate") in (75, 77)
    assert other.is_let_in()
    assert {} == read_renewals(home.directory.path / "state").things


@pytest.mark.slow
def test_a_detect_that_is_ended_at_every_step_has_nothing_half_done(
    home: Home, device: Device, at_each_step: list[Callable[[str], None]]
) -> None:
    steps: set[str] = set()

    def restart(step: str) -> None:
        if step not in steps:  # once each, or the device would never get any further
            steps.add(step)
            home.restart()
            assert device.is_let_in()

    at_each_step.append(restart)
    assert 0 == device.run("--rotate")
    assert {"certificate answered", "registered", "turned", "committed"} <= steps
    assert device.is_let_in()
    assert not home.lets_in(device.first)


@pytest.mark.slow
def test_a_device_that_is_ended_at_every_step_has_one_pair_in_force_that_is_let_in(
    home: Home, device: Device, at_each_step: list[Callable[[str], None]]
) -> None:
    left, ended = 0, 0

    def end(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    at_each_step.append(end)
    while True:
        left = ended + 1
        try:
            assert 0 == device.run("--rotate")
            break
        except Killed:
            ended += 1
            assert device.is_let_in()
            home.restart()  # which forgets how often the device has asked
            left = 0
            assert 0 == device.run("--rotate")
            assert device.is_let_in()
            assert read_renewals(home.directory.path / "state").of(THING).registered is None
    assert ended > 8
    assert not home.lets_in(device.first)


def test_a_wish_reaches_the_daemons_ear_by_the_built_in_broker(home: Home, device: Device) -> None:
    from defender_publisher.provisioning.broker import Broker, Pair
    from defender_publisher.provisioning.wish import WishListener, read_wish
    from defender_publisher.settings import read_settings

    settings = read_settings(device.config, {})
    pair = Pair(device.etc / "certificate.pem", device.etc / "private.key")
    credentials = Credentials(home.directory.roots, home.directory.certificate, home.directory.key)
    with Listening(home.broker.endpoint, credentials, minimum_interval=0) as detect:
        detect.wait()
        session = Broker(settings).open_as(THING, pair)
        WishListener(THING, str(device.etc / "state")).join(session)
        list(things.renew_over_the_air(home.directory, [THING], now()))
        wait_until(lambda: read_wish(device.etc / "state") is not None)
        session.close()
    assert 0 == device.run("--rotate", "--if-due")
    assert not home.lets_in(device.first)
    assert read_wish(device.etc / "state") is None
    assert 0 == device.run("--rotate", "--if-due")  # which is not due, and changes nothing
    assert device.is_let_in()


class Counters:
    """The interface counters that a device reads, in a procfs of its own."""

    def __init__(self, path: Path) -> None:
        self.path, self.received = path, 1_000_000
        for process in ("1", "self"):
            (path / process / "net").mkdir(parents=True)
            for table in ("tcp", "tcp6", "udp", "udp6"):  # nobody listens
                (path / process / "net" / table).write_text("  sl  local_address rem_address   st\n")
        self.add(0)

    def add(self, number: int) -> int:
        """Let so many more bytes be received; return how many that are now."""
        self.received += number
        for process in ("1", "self"):
            new = self.path / process / "net" / "dev.new"
            new.write_text(f"\n\n  eth0: {self.received} 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n")
            new.replace(self.path / process / "net" / "dev")
        return self.received


@pytest.mark.slow
def test_no_byte_is_lost_when_detect_is_killed_between_the_answers_to_a_rotation(tmp_path, free_port):
    home = AtHome(tmp_path, free_port, "--renewal")
    config, counters = set_up(home), Counters(tmp_path / "proc")
    try:
        detect, daemon = start_detect(home), start_daemon(home, config)
        daemon.wait_for("accepted")
        begun = counters.received  # as the daemon found it when it began
        counters.add(12_345)
        wait_until(lambda: received(home) == counters.received - begun)
        daemon.end()
        counters.add(1_000)  # while nobody reports
        rotation = home.start(sys.executable, PUBLISHER, "--rotate", config)
        for answered in ("is issued a certificate over the air", "has registered a certificate", "uses it from now on"):
            detect.wait_for(answered)
            detect.process.kill()
            detect.process.wait()
            detect = start_detect(home)
        assert 0 == rotation.process.wait(PATIENCE), rotation.text
        daemon = start_daemon(home, config)
        daemon.wait_for("accepted")
        counters.add(777)
        wait_until(lambda: received(home) == counters.received - begun)
        daemon.end()
    finally:
        for each in home.started:
            each.process.kill()
            each.process.wait()


def set_up(home: AtHome) -> Path:
    """Install a device that reports every second what its counters say; return its configuration."""
    home.add()
    config = home.install()
    document = json.loads(config.read_text())
    document["agent"].update(
        state_directory="state", publish_interval=1, metrics_collection_interval=1, allow_short_interval=True,
        procfs_path="../proc",
    )  # fmt: skip
    document.update(metrics={"network_stats": {}}, custom_metrics={})
    config.write_text(json.dumps(document))
    return config


def start_detect(home: AtHome) -> Program:
    detect = home.start(sys.executable, DETECT, "--minimum-interval", "0", home.home / "amazon-defender-detect.json")
    detect.wait_for("is ready on")
    return detect


def start_daemon(home: AtHome, config: Path) -> Program:
    return home.start(sys.executable, PUBLISHER, config)


def received(home: AtHome) -> int:
    """Return how many bytes Detect has heard of; none before anything is kept."""
    words = ("metrics", THING, "aws:all-bytes-in", home.home / "amazon-defender-detect.json", "--json")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = detect_main(list(map(str, words)))
    return (
        sum(each["value"]["count"] for each in json.loads(printed.getvalue())["metricDatumList"]) if not status else 0
    )
