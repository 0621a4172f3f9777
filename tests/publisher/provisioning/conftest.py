"""A device below a directory of its own, and fleet provisioning on loopback for it."""

from __future__ import annotations

import json
import logging
import ssl
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from defender_publisher import session
from defender_publisher.__main__ import main
from defender_publisher.provisioning import calls, commands
from demo.authority import Authority
from tests.fakes.provisioning import ACTIVE, ProvisioningBroker, fingerprint

CONFIG = "amazon-defender-publisher.json"


class Device:
    """A device's files, and the program that is run on it in this process."""

    def __init__(self, directory: Path, broker: ProvisioningBroker, thing: str = "rpi-0001") -> None:
        self.etc, self.thing, self.broker = directory / "etc", thing, broker
        self.state = directory / "state"
        self.config = self.etc / CONFIG
        self.etc.mkdir(parents=True)
        self.state.mkdir()
        self.configure()

    def configure(self, **provisioning: Any) -> None:
        """Write the configuration; keywords replace keys of its section on provisioning, None removes one."""
        claim = self.broker.claim
        given = {
            "template": self.broker.template,
            "rotation_template": self.broker.rotation_template,
            "claim_certificate": str(claim.certificate),
            "claim_private_key": str(claim.private_key),
            **provisioning,
        }
        authentication = {
            "endpoint": "localhost",
            "port": self.broker.port,
            "certificate": "certificate.pem",
            "private_key": "private.key",
            "root_ca": str(self.broker.authority.certificate),
        }
        agent = {
            "thing_name": self.thing,
            "authentication": authentication,
            "provisioning": {key: value for key, value in given.items() if value is not None},
            "state_directory": str(self.state),
            "publish_interval": 1,
            "allow_short_interval": True,
        }
        self.config.write_text(json.dumps({"agent": agent}))

    def run(self, *options: str) -> int:
        """Run the program in this process; return its exit status."""
        return main([*options, str(self.config)])

    def everything(self) -> dict[str, Any]:
        """Return every file and link with its content and mode, to compare."""
        found: dict[str, Any] = {}
        for path in sorted(self.etc.rglob("*")):
            mode = stat.S_IMODE(path.lstat().st_mode)
            content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(self.etc))] = (mode, content, path.lstat().st_mtime_ns, path.lstat().st_ino)
        return found

    def pair_problem(self) -> str:
        """Return what is wrong with the pair that a daemon would find; empty where the broker lets it in."""
        certificate, key = self.etc / "certificate.pem", self.etc / "private.key"
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            return f"{error}"
        if stat.S_IMODE(key.stat().st_mode) != 0o600:
            return "others can read the key"
        found = self.broker.certificates.get(fingerprint(certificate.read_text()))
        fits = found is not None and (found.status, found.thing) == (ACTIVE, self.thing)
        return "" if fits else f"{found}"


@pytest.fixture
def aws(tmp_path: Path, authority: Authority) -> Iterator[ProvisioningBroker]:
    broker = ProvisioningBroker(tmp_path, authority)
    yield broker
    broker.close()


@pytest.fixture
def device(tmp_path: Path, aws: ProvisioningBroker) -> Device:
    return Device(tmp_path / "device", aws)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited between two attempts; nobody waits here."""
    waited: list[float] = []
    monkeypatch.setattr(calls, "APART", 0.0)
    monkeypatch.setattr(commands, "sleep", waited.append)
    monkeypatch.setattr(session, "DISPATCH_INTERVAL", 0.05)
    return waited


@pytest.fixture(autouse=True)
def restored_log() -> Iterator[None]:
    """Leave logging as it was: the program sends it to a standard error that is this test's own."""
    root = logging.getLogger()
    handlers, level, publishers = root.handlers[:], root.level, logging.getLogger("defender_publisher").level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("defender_publisher").setLevel(publishers)


Say = Callable[[], str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Say:
    """What was said since, on both outputs."""

    def said() -> str:
        captured = capsys.readouterr()
        return captured.out + captured.err

    return said
