"""A deployer's machine, and the devices that get its bundles: what the tests of deploy.py stand on."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest

from tests.fakes.emulator import ROOT, Account
from tests.fakes.mqtt_client import MqttClient

DEPLOY, PUBLISHER, CLOUDWATCH = (
    ROOT / name for name in ("deploy.py", "amazon-defender-publisher", "amazon-defender-cloudwatch")
)
SHARED = (
    "infrastructure",
    "device_defender",
    "defender_daemon",
    "defender_publisher",
    "release",
)  # what deploy.py reads
LONGEST_RUN = 240.0  # seconds; a deployment of a few things takes 2, of a machine that does nothing else


@dataclass(frozen=True)
class Run:
    """What a run of deploy.py ended with."""

    status: int
    output: str
    errors: str

    @property
    def sentence(self) -> str:
        """What it said was wrong: one sentence, and no traceback."""
        assert "Traceback" not in self.errors, self.errors
        return self.errors

    @property
    def text(self) -> str:
        return self.output + self.errors


@dataclass(frozen=True)
class Machine:
    """A directory from which somebody deploys to an account."""

    directory: Path
    account: Account
    more: Mapping[str, str] = field(default_factory=dict)  # environment
    program: Path = DEPLOY

    def configure(self, **sections: Any) -> Machine:
        """Return this machine with a checkout of its own, in which the devices' configuration has more sections."""
        checkout = self.directory / "checkout"
        if not checkout.exists():
            checkout.mkdir()
            for name in SHARED:
                (checkout / name).symlink_to(ROOT / name)
            for name in ("deploy.py", "defender_start.py"):
                shutil.copy(ROOT / name, checkout)
            shutil.copytree(ROOT / "configs", checkout / "configs")
        shipped = json.loads((ROOT / "configs" / "amazon-defender-publisher-fleet.json").read_text())
        own = checkout / "configs" / "amazon-defender-publisher-fleet.local.json"
        own.write_text(json.dumps({**shipped, **sections}))
        return replace(self, program=checkout / "deploy.py")

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "COLUMNS", "FORCE_"))}
        return {**kept, **self.account.environment, "no_proxy": "*", **self.more}

    def list(self, *things: str) -> Machine:
        """Write things.txt."""
        (self.directory / "things.txt").write_text("".join(f"{thing}\n" for thing in things))
        return self

    def deploy(self, *arguments: str, **environment: str) -> Run:
        """Run deploy.py without a terminal, in this process, in which aws_cdk and Node have to start once only."""
        output, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(output), redirect_stderr(errors), self._at_home({**self.environment, **environment}):
            status = load(self.program).main(list(arguments))
        return Run(status, output.getvalue(), errors.getvalue())

    @contextmanager
    def _at_home(self, environment: Mapping[str, str]) -> Iterator[None]:
        """Let this process be where the machine is."""
        with patch.dict(os.environ, environment, clear=True), pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.chdir(self.directory)
            monkeypatch.setattr(sys, "path", sys.path[:])  # to which the program adds where it is
            monkeypatch.setattr("botocore.session.create_loader", models_of_aws)
            yield

    def run(self, *arguments: str) -> Run:
        """Run deploy.py without a terminal, as a process of its own."""
        done = subprocess.run(
            [sys.executable, str(self.program), *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_RUN,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start deploy.py without a terminal, in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, str(self.program), *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def install(self, thing: str, output: str = "fleet") -> Device:
        """Bring a thing's bundle to its device, which reaches AWS where the emulator is."""
        place = Path(self.directory, "devices", thing)
        place.mkdir(parents=True)
        with tarfile.open(self.directory / output / f"{thing}.tar") as bundle:
            bundle.extractall(place)
        config = place / "amazon-defender-publisher.json"
        document = json.loads(config.read_text())
        authentication = document["agent"]["authentication"]
        authentication |= {"endpoint": "localhost", "port": self.account.emulator.mqtt_port}
        if "credentials" in authentication:
            authentication["credentials"]["endpoint"] = self.account.emulator.credentials_endpoint
        document["agent"]["state_directory"] = "state"
        config.write_text(json.dumps(document))
        (place / "roots.pem").write_bytes(self.account.emulator.authority.read_bytes())
        return Device(place, thing, self.account)

    def files(self) -> dict[str, bytes]:
        """Return the content of every file below the output directory."""
        files = sorted(path for path in (self.directory / "fleet").rglob("*") if path.is_file())
        return {str(path.relative_to(self.directory / "fleet")): path.read_bytes() for path in files}


@cache
def models_of_aws(path: str | None) -> Any:
    """Return what reads botocore's descriptions of AWS's services: one for all runs, since each takes long to read."""
    from botocore.loaders import create_loader

    return create_loader(path)


def load(program: Path) -> ModuleType:
    """Return deploy.py of a checkout as a module, which finds there what is not in the packages."""
    spec = spec_from_file_location("deploy", program)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Device:
    """A device with an extracted bundle."""

    directory: Path
    thing: str
    account: Account

    def publish(self) -> subprocess.CompletedProcess[str]:
        """Run the publisher once."""
        command = [sys.executable, str(PUBLISHER), "amazon-defender-publisher.json", "--once"]
        return subprocess.run(command, cwd=self.directory, capture_output=True, text=True, timeout=LONGEST_RUN)

    def send(self) -> subprocess.CompletedProcess[str]:
        """Run amazon-defender-cloudwatch once; what it has of AWS is where the emulator is, and no credentials."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        where = {"AWS_ENDPOINT_URL": self.account.emulator.url, "AWS_REGION": self.account.region}
        command = [sys.executable, str(CLOUDWATCH), "--once", "amazon-defender-publisher.json"]
        return subprocess.run(
            command, cwd=self.directory, env={**kept, **where}, capture_output=True, text=True, timeout=LONGEST_RUN
        )

    def client(self, client_id: str | None = None) -> MqttClient:
        """Return an MQTT client with this device's certificate."""
        emulator, here = self.account.emulator, self.directory
        files = emulator.authority, here / "certificate.pem", here / "private.key"
        return MqttClient(emulator.mqtt_port, *files, client_id or self.thing)


def certificate_of(account: Account, thing: str) -> str:
    """Return the id of a thing's only certificate."""
    (arn,) = account.client("iot").list_thing_principals(thingName=thing)["principals"]
    return str(arn).rpartition("/")[2]


def members_of(account: Account, group: str = "amazon-defender-publisher") -> list[Any]:
    """Return the things in a group."""
    return sorted(account.client("iot").list_things_in_thing_group(thingGroupName=group)["things"])
