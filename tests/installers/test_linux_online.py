"""The Linux installer as on most devices: Python from the mirror, packages from PyPI, options instead of a bundle."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from demo.authority import Authority
from tests.installers.site import PROGRAM, SOURCE, WITHIN, NewSite, verdict_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(WITHIN)]

HOST_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")  # of the host, whose network may have its own


def test_with_a_network_nothing_has_to_be_brought(
    new_site: NewSite, minimal_root: Path, authority: Authority, bundles: Path
) -> None:
    try:
        for host, port in (("deb.debian.org", 80), ("pypi.org", 443)):
            socket.create_connection((host, port), timeout=10).close()
    except OSError as error:
        pytest.skip(f"there is no network: {error}")
    files = authority.issue("rpi-0003")
    for name, path in {"c": files.certificate, "k": files.private_key, "r": authority.certificate}.items():
        shutil.copyfile(path, bundles / name)
    shutil.copyfile(HOST_AUTHORITIES, bundles / "authorities")
    site = new_site(minimal_root, cut_off=False).open()
    site.machine.run("sh", "-c", "rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb", check=True)
    shutil.copyfile("/etc/resolv.conf", bundles / "resolv.conf")
    site.machine.run("sh", "-c", "cat /bundle/resolv.conf >/etc/resolv.conf")
    done = site.machine.run(
        *("bash", f"{SOURCE}/installers/install-rpi.bash", "--non-interactive", "--endpoint", site.address),
        *("--port", site.port, "--thing-name", "rpi-0003", "--certificate", "/bundle/c", "--private-key", "/bundle/k"),
        *("--root-ca", "/bundle/r"),
        within=500,
        PIP_CERT="/bundle/authorities",
    )
    assert verdict_of(done).endswith(f" accepted by {site.address}")
    assert "installed: python3 python3-venv" in done.stdout
    assert " accepted after " in site.read(PROGRAM / "logs" / "amazon-defender-publisher.log")
