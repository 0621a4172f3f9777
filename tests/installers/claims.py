"""A fleet's claim for tests, as deploy.py writes it, of a double of AWS IoT."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path

from tests.fakes.provisioning import ProvisioningBroker

INTERVAL = 2  # seconds between two reports


def write_claim(path: Path, cloud: ProvisioningBroker, address: str, port: int, **agent: object) -> Path:
    """Write the claim of a fleet at a double; keywords go into the agent section."""
    authentication = {
        "endpoint": address, "port": port, "certificate": "certificate.pem", "private_key": "private.key",
        "root_ca": "roots.pem",
    }  # fmt: skip
    provisioning = {"template": cloud.template, "rotation_template": cloud.rotation_template}
    fast = {"publish_interval": INTERVAL, "allow_short_interval": True}
    config = {"agent": {"authentication": authentication, "provisioning": provisioning, **fast, **agent}}
    contents = {
        "amazon-defender-publisher.json": json.dumps(config).encode(),
        "claim-certificate.pem": cloud.claim.certificate.read_bytes(),
        "claim-private.key": cloud.claim.private_key.read_bytes(),
        "roots.pem": cloud.authority.certificate.read_bytes(),
    }
    with tarfile.open(path, "w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            tar.addfile(member, BytesIO(content))
    return path
