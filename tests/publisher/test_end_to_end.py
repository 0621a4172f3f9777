"""The whole way: the publisher as a process, over mutual TLS, to the built-in broker and to mosquitto, with Detect."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.authority import Authority
from tests.ports import unused_port
from tests.quick import ONCE, quick
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parent.parent.parent
DETECT = ROOT / "amazon-defender-detect"
MOSQUITTO = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")

ACL = """\
pattern write $aws/things/%u/defender/metrics/json
pattern write $aws/things/%u/defender/metrics/cbor
pattern read $aws/things/%u/defender/metrics/+/accepted
pattern read $aws/things/%u/defender/metrics/+/rejected
user detect
topic readwrite $aws/things/#
topic readwrite reports/#
"""


class Program:
    """A program that runs, and everything it has said so far."""

    def __init__(self, *command: object) -> None:
        self.text = ""
        self.process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line

    def wait_for(self, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
        """Return the first match of `pattern` in what the program says."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            match = re.search(pattern, self.text)
            if match:
                return match
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} did not come within {seconds} s in:\n{self.text}")

    def end(self) -> int:
        """Ask the program to end and return its exit status."""
        self.process.terminate()
        return self.process.wait(60)


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def program(*command: object) -> Program:
        started.append(Program(*command))
        return started[-1]

    yield program
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def interval() -> int:
    """The seconds within which Detect takes one report of a thing; a busy machine brings them close together."""
    return 0


@pytest.fixture(params=["embedded", "mosquitto"])
def broker_port(
    request: pytest.FixtureRequest, program: Callable[..., Program], authority: Authority, tmp_path: Path, interval: int
) -> int:
    """The port of a broker at which Detect answers."""
    if request.param == "embedded":
        if sys.version_info < (3, 10):
            pytest.skip("the built-in broker needs Python 3.10")
        files = authority.issue("detect", ["localhost", "127.0.0.1"])
        options: list[object] = ["--embedded-broker", "--port", 0]
    else:
        if MOSQUITTO is None:
            pytest.skip("mosquitto is not installed")
        files = authority.issue("detect")
        options = ["--endpoint", "localhost", "--port", start_mosquitto(program, authority, tmp_path)]
    detect = program(
        sys.executable, DETECT, *options, "--minimum-interval", interval, "--root-ca", authority.certificate,
        "--certificate", files.certificate, "--private-key", files.private_key,
    )  # fmt: skip
    return int(detect.wait_for(r"is ready on \S+?:(\d+)")[1])


def start_mosquitto(program: Callable[..., Program], authority: Authority, directory: Path) -> int:
    """Start mosquitto on a free port of loopback; a thing may do there what its AWS IoT policy would let it."""
    files = authority.issue("mosquitto", ["localhost", "127.0.0.1"])
    port = unused_port()
    (directory / "acl").write_text(ACL)
    config = directory / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\ncafile {authority.certificate}\ncertfile {files.certificate}\n"
        f"keyfile {files.private_key}\nrequire_certificate true\nuse_identity_as_username true\n"
        f"acl_file {directory / 'acl'}\nset_tcp_nodelay true\nuser {os.environ.get('USER', 'root')}\n"
    )
    program(MOSQUITTO, "-c", config).wait_for("running")
    return port


EMBEDDED = pytest.mark.parametrize(
    "broker_port", ["embedded", pytest.param("mosquitto", marks=pytest.mark.slow)], indirect=True
)
BOTH = [("embedded", "json", False), ("mosquitto", "cbor", True)]  # with short names, or without them
STYLES = [
    pytest.param(*style, marks=() if style in BOTH else pytest.mark.slow)
    for style in itertools.product(["embedded", "mosquitto"], ["json", "cbor"], [False, True])
]


@pytest.mark.parametrize(("broker_port", "form", "short_names"), STYLES, indirect=["broker_port"])
def test_reports_are_accepted_one_after_the_other(
    broker_port: int, write_config: Callable[..., Path], program: Callable[..., Program], form: str, short_names: bool
) -> None:
    custom = {"cpu_usage": {}, "load_average": {}, "process_names": {}, "interface_addresses": {}}
    config = write_config(broker_port, custom_metrics=custom, format=form, short_names=short_names)
    publisher = program(*quick(config))
    publisher.wait_for(r"report \d+ accepted(.|\n)*report \d+ accepted after .* bytes in, .* [34] custom metrics")
    assert 0 == publisher.end()
    assert "rejected" not in publisher.text
    assert "Traceback" not in publisher.text


@EMBEDDED
@pytest.mark.parametrize("interval", [120])  # so that also on a busy machine the second one comes too soon
def test_a_report_that_comes_too_soon_is_throttled(
    broker_port: int, write_config: Callable[..., Path], program: Callable[..., Program]
) -> None:
    once = quick("--once", write_config(broker_port), constants=ONCE)
    program(*once).wait_for("accepted after")
    program(*once).wait_for("throttled: the connection works")


@EMBEDDED
def test_a_daemon_that_is_restarted_waits_for_its_turn_and_keeps_its_growth(
    broker_port: int, write_config: Callable[..., Path], program: Callable[..., Program], tmp_path: Path
) -> None:
    daemon = quick(write_config(broker_port, publish_interval=300))
    first = program(*daemon)
    first.wait_for("accepted after")
    first.end()
    second = program(*daemon)
    assert 100 < int(second.wait_for(r"every 300 s, first in (\d+) s")[1]) <= 300  # however slow the machine is
    second.end()
    assert "accepted after" not in second.text
    state = json.loads((tmp_path / "state" / "state.json").read_text())
    state["published_at"] -= 300  # as if its turn had come
    (tmp_path / "state" / "state.json").write_text(json.dumps(state))
    program(*daemon).wait_for(r"accepted after .* bytes in")
