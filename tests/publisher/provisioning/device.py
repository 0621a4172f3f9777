"""A device below a directory of its own, on which the program is run in this process."""

from __future__ import annotations

import json
import shutil
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from defender_publisher.__main__ import main
from tests.fakes.provisioning import ACTIVE, ProvisioningBroker, fingerprint

CONFIG = "amazon-defender-publisher.json"


Say = Callable[[], str]


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


def make_plain(device: Device) -> None:
    """Let the device have two plain files, as an installation from a bundle has them."""
    for name in ("private.key", "certificate.pem"):
        content = (device.etc / name).read_bytes()
        (device.etc / name).unlink()
        (device.etc / name).write_bytes(content)
        (device.etc / name).chmod(0o600)
    (device.etc / "identity").unlink()
    shutil.rmtree(device.etc / "identities")
