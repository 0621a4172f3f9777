"""The Linux installer on other processors, emulated: what has no wheels there is built, and the program reports."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.installers import emulation
from tests.installers.roots import RootError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
INSTALL_WITHIN = 2400.0  # seconds; a compiler is slow when it is emulated
TOOLS = ("apt-get", "env")  # what the installer may run of the system below a prefix


@pytest.mark.parametrize("processor", emulation.EMULATORS)
def test_on_another_processor_the_program_is_installed_and_measures(
    processor: str, source: Path, bundles: Path, tmp_path: Path
) -> None:
    refused = emulation.refusal(processor)
    if refused is not None:
        pytest.skip(refused)
    try:
        kept = emulation.root_of(processor)
    except RootError as error:
        pytest.skip(f"there can be no {processor} here: {error}")
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", kept, root], check=True)  # which copies a device as such, and not what is read there
    authorities = tmp_path / "authorities"
    authorities.mkdir()
    shutil.copyfile("/etc/ssl/certs/ca-certificates.crt", authorities / "all.crt")
    (root / "device" / "bin").mkdir(parents=True)
    for tool in TOOLS:
        (root / "device" / "bin" / tool).symlink_to(f"/usr/bin/{tool}")

    def run(*command: str, within: float = 120.0) -> str:
        shared = (source, bundles, authorities)
        certificates = f"/tmp/{authorities.name}/all.crt"
        done = emulation.emulate(processor, root, *command, within=within, shared=shared, PIP_CERT=certificates)
        assert 0 == done.returncode, done.stdout
        return done.stdout

    bundle = f"/tmp/{bundles.name}/rpi-0001.tar"
    installer = f"/tmp/{source.name}/installers/install-rpi.bash"
    said = run("bash", installer, "--prefix", "/device", "--bundle", bundle, within=INSTALL_WITHIN)
    assert f" 1/10  platform       Debian GNU/Linux 12 (bookworm), {processor}\n" in said
    assert ("a compiler" in said or "of the distribution" in said) == (processor == "armhf"), said
    program = "/device/opt/aws/amazon-defender-publisher/bin/amazon-defender-publisher"
    report = json.loads(run(program, "--dry-run"))
    assert {"listening_tcp_ports", "listening_udp_ports", "tcp_connections", "network_stats"} == set(report["metrics"])
