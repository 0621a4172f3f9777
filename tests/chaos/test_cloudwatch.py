"""Faults around amazon-defender-cloudwatch, caused for real: each is said in a sentence; no line is lost or doubled."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from defender_cloudwatch.places import FILE
from demo.authority import Authority
from tests.chaos.table import Fault
from tests.chaos.test_local import SMALL_DISK
from tests.cloudwatch.doubles import ALIAS, Double, Logs, Request, answer_as_provider, provider_context
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / "amazon-defender-cloudwatch"
GROUP, STREAM = "/system/default/rpi-chaos", "app.log"
PATIENCE = 60.0  # seconds
OFF = 900.0  # seconds that a clock is wrong
TOLERANCE = 300.0  # seconds; AWS's
SLOW = 12.0  # seconds that an answer takes; the program waits 10

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Device:
    """A device whose log gets ten lines a second, with its program and a double of AWS."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.directory, self.logs = directory, Logs()
        self.aws, self.provider = Double(self.logs), Double(answer_as_provider, provider_context(authority))
        self.log, self.output, self.state = directory / STREAM, directory / "output", directory / "state"
        self.log.touch()
        self._files, self._authority = authority.issue("rpi-chaos"), authority
        self._written, self._over = 0, threading.Event()
        self._writer = threading.Thread(target=self._write, daemon=True)
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}

    def start(self, wrapper: tuple[str, ...] = (), journal: bool = False) -> None:
        """Start the program; return once lines arrive."""
        authentication = {
            "certificate": str(self._files.certificate), "private_key": str(self._files.private_key),
            "root_ca": str(self._authority.certificate),
            "credentials": {"endpoint": f"localhost:{self.provider.port}", "role_alias": ALIAS},
        }  # fmt: skip
        agent = {
            "thing_name": "rpi-chaos", "region": "eu-west-1", "state_directory": str(self.state),
            "logs_collection_interval": 1, "authentication": authentication,
        }  # fmt: skip
        files = {"collect_list": [{"file_path": str(self.log), "from": "start"}]}
        config = self.directory / "config.json"
        config.write_text(
            json.dumps({"agent": agent, "logs": {"logs_collected": {"files": files, "journal": journal}}})
        )
        environment = {**os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.aws.port}", **self.environment}
        with self.output.open("ab") as output:
            command = [*wrapper, sys.executable, str(PROGRAM), str(config)]
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    def begin(self, **options: Any) -> None:
        """Start writing and the program; return once lines arrive."""
        self._writer.start()
        self.start(**options)
        assert wait_until(self.messages, PATIENCE), self.output.read_text()

    def stop(self) -> None:
        """Let the program end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert 0 == self.process.wait(PATIENCE)

    def messages(self) -> list[str]:
        """Return what has arrived."""
        return self.logs.messages(GROUP, STREAM)

    def wait_for(self, pattern: str) -> str:
        """Return the line of the program's log that holds this."""
        assert wait_until(lambda: re.search(pattern, self.output.read_text()), PATIENCE), self.output.read_text()
        return next(line for line in self.output.read_text().splitlines() if re.search(pattern, line))

    def check(self, fault: Fault, arrived: Callable[[], list[str]] | None = None) -> None:
        """See that lines arrive again, and that each did once, in order."""
        arrived = arrived or self.messages
        begun, before = time.monotonic(), len(arrived())
        assert wait_until(lambda: len(arrived()) > before, 2 * PATIENCE), self.output.read_text()
        fault.resumed(time.monotonic() - begun)
        self._over.set()
        self._writer.join()
        assert wait_until(lambda: arrived()[-1:] == [f"line {self._written - 1}"], 2 * PATIENCE)
        self.stop()
        numbers = [int(each.split()[1]) for each in arrived()]
        assert list(range(numbers[0], self._written)) == numbers
        assert "Traceback" not in self.output.read_text()
        fault.accounted(f"{len(numbers)} lines, each once")

    def close(self) -> None:
        """End everything."""
        self._over.set()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _write(self) -> None:
        with self.log.open("a") as log:
            while not self._over.wait(0.1):
                log.write(f"line {self._written}\n")
                log.flush()
                self._written += 1


@pytest.fixture
def device(tmp_path: Path, authority: Authority) -> Iterator[Device]:
    found = Device(tmp_path, authority)
    with found.aws, found.provider, contextlib.closing(found):
        yield found


@pytest.mark.fault("CloudWatch: network gone")
def test_the_network_is_gone(device: Device, fault: Fault) -> None:
    device.begin()
    device.aws.__exit__()
    device.aws.hang_up()
    fault.logged(device.wait_for(r"ERROR : file \S+ was not sent on: 127.0.0.1:\d+ cannot be reached"))
    device.aws.__enter__(device.aws.port)
    device.check(fault)


@pytest.mark.fault("CloudWatch: provider refuses (403)")
def test_the_provider_refuses(device: Device, fault: Fault) -> None:
    device.provider.answer = lambda request, client: (403, {"message": "Access Denied"})
    device._writer.start()
    device.start()
    fault.logged(device.wait_for(r"ERROR : logs were not sent: AWS IoT refused credentials for the role alias"))
    device.provider.answer = answer_as_provider
    device.check(fault)


@pytest.mark.fault("CloudWatch: provider broken (500)")
def test_the_provider_is_broken(device: Device, fault: Fault) -> None:
    device.provider.answer = lambda request, client: (500, {"message": "Internal Server Error"})
    device._writer.start()
    device.start()
    fault.logged(device.wait_for(r"ERROR : logs were not sent: the credentials provider \S+ answered 500"))
    device.provider.answer = answer_as_provider
    device.check(fault)


@pytest.mark.fault("CloudWatch: provider slow")
def test_the_provider_is_slow(device: Device, fault: Fault) -> None:
    def answer(request: Request, client: str) -> tuple[int, Any]:
        time.sleep(SLOW)
        return answer_as_provider(request, client)

    device.provider.answer = answer
    device._writer.start()
    device.start()
    fault.logged(
        device.wait_for(r"ERROR : logs were not sent: the credentials provider \S+ cannot be reached: .*timed out")
    )
    device.provider.answer = answer_as_provider
    device.check(fault)


@pytest.mark.fault("CloudWatch: throttled")
def test_calls_are_throttled(device: Device, fault: Fault) -> None:
    device.begin()
    device.logs.fault = lambda request: (400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
    fault.logged(device.wait_for(r"ERROR : file \S+ was not sent on: PutLogEvents failed \(ThrottlingException\)"))
    device.logs.fault = None
    device.check(fault)


@pytest.mark.fault("CloudWatch: answer lost after the batch arrived")
def test_an_answer_is_lost(device: Device, fault: Fault) -> None:
    def lose(request: Request) -> tuple[int, Any] | None:
        if not request.headers["x-amz-target"].endswith("PutLogEvents"):
            return None
        device.logs.fault = None
        device.logs(request, "")
        return 503, b""

    device.begin()
    device.logs.fault = lose
    device.wait_for(r"ERROR : file \S+ was not sent on: PutLogEvents failed \(503\)")
    fault.logged(device.wait_for(r"INFO : file \S+: the last batch had arrived"))
    device.check(fault)


@pytest.mark.fault("CloudWatch: log group deleted")
def test_the_log_group_is_deleted_while_running(device: Device, fault: Fault) -> None:
    device.begin()
    kept: list[str] = []

    def delete(request: Request) -> tuple[int, Any] | None:
        if request.headers["x-amz-target"].endswith("PutLogEvents"):
            device.logs.fault = None
            kept.extend(device.messages())
            device.logs.groups.clear()
        return None

    device.output.write_text("")
    device.logs.fault = delete
    fault.logged(device.wait_for(r"INFO : made the log stream app.log in"))
    device.check(fault, lambda: kept + device.messages())


@pytest.mark.fault("CloudWatch: clock 15 minutes off")
def test_the_clock_is_fifteen_minutes_off(device: Device, fault: Fault) -> None:
    def check_date(request: Request) -> tuple[int, Any] | None:
        signed = datetime.datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) + datetime.timedelta(seconds=OFF)
        if abs((now - signed).total_seconds()) <= TOLERANCE:
            return None
        return 403, {"__type": "InvalidSignatureException", "message": f"Signature expired: {signed} is now earlier"}

    device.begin()
    device.logs.fault = check_date
    fault.logged(
        device.wait_for(r"ERROR : file \S+ was not sent on: AWS refused PutLogEvents: this device's clock is wrong")
    )
    device.logs.fault = None
    device.check(fault)


@pytest.mark.fault("CloudWatch: state directory full")
def test_the_disk_is_full(device: Device, fault: Fault) -> None:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and util-linux")
    device.state.mkdir()
    mount = SMALL_DISK.format(64)
    device.begin(wrapper=("unshare", "-m", "sh", "-c", mount, str(device.state)))
    assert device.process is not None
    filler = Path(f"/proc/{device.process.pid}/root{device.state}/filler")
    with filler.open("wb", buffering=0) as growing, contextlib.suppress(OSError):
        while True:
            growing.write(b"\n" * 512)
    fault.logged(device.wait_for(r"ERROR : where reading stands cannot be kept \(No space left on device\)"))
    filler.unlink()
    device.check(fault)


@pytest.mark.fault("CloudWatch: state damaged")
def test_the_state_is_damaged(device: Device, fault: Fault) -> None:
    """Nobody knows what was sent: with `"from": "start"` it is sent again, and the log says that it starts over."""
    device.begin()
    device.stop()
    (device.state / FILE).write_bytes(b"{")
    device.logs.groups.clear()
    device.start()
    fault.logged(device.wait_for(r"WARNING : \S+ cannot be read \(.*\): logs are followed as at a first start"))
    device.check(fault)
    assert (device.state / FILE).with_suffix(".damaged").exists()


@pytest.mark.fault("CloudWatch: journalctl missing")
def test_journalctl_is_missing(device: Device, fault: Fault) -> None:
    device.environment["PATH"] = "/nonexistent"
    device.begin(journal=True)
    fault.logged(device.wait_for(r"WARNING : journalctl is not installed: leave logs.logs_collected.journal out"))
    device.check(fault)
