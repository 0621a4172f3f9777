"""The scene of the CloudWatch benchmark: this project's program and the one that it comes from, and a double of AWS."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from demo.authority import Authority
from tests.cloudwatch.trial import Trial
from tests.fakes.emulator import Account

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "amazon-defender-cloudwatch"
ENVIRONMENTS = ROOT / ".venv" / "bench"  # each program in an environment with its own packages and no others
OURS, THEIRS = (str(ENVIRONMENTS / name / "bin" / "python") for name in ("ours", "cloudwatch"))
THING = "rpi-0001"


class Scene:
    """A directory with an authority, a device's certificate and a log, and a double of AWS that is asked how it is."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "app.log"
        self.log.touch()
        self.authority = Authority(directory / "authority")
        self.device = self.authority.issue(THING)
        self.server = self.authority.issue("aws", ["localhost", "127.0.0.1"])

    @contextlib.contextmanager
    def aws(self) -> Iterator[Double]:
        """Run a double of AWS."""
        files = (self.server.certificate, self.server.private_key, self.authority.certificate)
        command = [sys.executable, "-m", "benchmarks.aws_double", *map(str, files)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            try:
                yield Double(process)
            finally:
                process.kill()


class Double:
    """The double's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.port = int(process.stdout.readline())

    def events(self) -> int:
        """Return how many events it has."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextlib.contextmanager
def running(command: list[str], **environment: str) -> Iterator[psutil.Process]:
    """Run a program; whatever it started ends with it."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    ) as started:
        process = psutil.Process(started.pid)
        try:
            yield process
        finally:
            for each in [*process.children(recursive=True), process] if process.is_running() else []:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()


def ours_on(scene: Scene, double: Double, **logs: Any) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment of this project's program, as its unit has it."""
    provider = {"endpoint": f"localhost:{double.port}", "role_alias": "device"}
    device, authority = scene.device, str(scene.authority.certificate)
    authentication = {"certificate": str(device.certificate), "private_key": str(device.private_key)}
    agent = {
        "thing_name": THING, "region": "eu-west-1", "state_directory": str(scene.directory / "state"),
        "authentication": {**authentication, "root_ca": authority, "credentials": provider},
        "metrics_collection_interval": 5, "logs_collection_interval": 1,
    }  # fmt: skip
    collected = {"files": {"collect_list": [{"file_path": str(scene.log), **logs}]}}
    config = scene.directory / "ours.json"
    config.write_text(
        json.dumps({"agent": agent, "metrics": {"namespace": "X"}, "logs": {"logs_collected": collected}})
    )
    environment = {"AWS_ENDPOINT_URL": f"https://localhost:{double.port}", "MALLOC_ARENA_MAX": "1"}
    return [OURS, str(PROGRAM), str(config)], environment


def upstreams_on(scene: Scene, double: Double, checkout: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment of the program that this one comes from.

    Its certificate and key are one file, because today's requests takes no list of two.
    """
    both = scene.directory / "both.pem"
    both.write_bytes(scene.device.certificate.read_bytes() + scene.device.private_key.read_bytes())
    authentication = {
        "iotUrl": f"localhost:{double.port}", "roleAlias": "device", "thingName": THING,
        "certificate": str(both),
    }  # fmt: skip
    config = scene.directory / "theirs.json"
    config.write_text(json.dumps(upstreams_configuration(scene.directory, scene.log, authentication)))
    trust = {"AWS_CA_BUNDLE": str(scene.authority.certificate), "REQUESTS_CA_BUNDLE": str(scene.authority.certificate)}
    environment = {"AWS_ENDPOINT_URL": f"https://localhost:{double.port}", **trust}
    return [THEIRS, str(checkout / "amazon-cloudwatch-publisher"), str(config)], environment


def upstreams_configuration(directory: Path, log: Path, authentication: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration of that program."""
    agent = {
        "instance": {"prefix": "rpi", "serial": "0001"}, "region": "eu-west-1",
        "logfile": str(directory / "theirs.log"),
        "metrics_collection_interval": 5, "logs_collection_interval": 1, "authentication": authentication,
    }  # fmt: skip
    collected = {"files": {"collect_list": [{"file_path": str(log)}]}}
    logs = {"logs_collected": collected, "log_group_name": "/system/rpi/{instance_id}"}
    return {"agent": agent, "metrics": {"namespace": "X"}, "logs": logs}


class Upstreams(Trial):
    """The trial with the program that this one comes from; what it started dies with it."""

    life = 4.0  # seconds, most of which its start takes

    def __init__(self, directory: Path, account: Account, checkout: Path) -> None:
        super().__init__(directory, account)
        self._checkout = checkout
        self.config.write_text(json.dumps(upstreams_configuration(directory, self.log, {})))

    def start(self, **also: str) -> subprocess.Popen[bytes]:
        """Start it as the leader of a session, so that its `tail` can be ended with it."""
        command = [THEIRS, str(self._checkout / "amazon-cloudwatch-publisher"), str(self.config)]
        environment = {**os.environ, **self.account.environment, "AWS_DEFAULT_REGION": self.account.region, **also}
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def has_started(self, times: int) -> bool:
        """Whether it has made its stream so many times, after which it follows the log."""
        log = self.directory / "theirs.log"
        return log.exists() and log.read_bytes().count(b"Log stream name is") >= times

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End it, and its `tail`."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End it, which SIGTERM does not."""
        self.kill(process)
