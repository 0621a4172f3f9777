"""A site: one machine with a line to a cloud, where amazon-defender-detect is the broker and judges its reports."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path

from demo.authority import Authority
from tests.chaos.network import CLOUD_ADDRESS, Network
from tests.chaos.process import Program
from tests.installers.machine import Machine
from tests.namespaces import Namespace
from tests.ports import unused_port

ROOT = Path(__file__).resolve().parent.parent.parent
DETECT = ROOT / "amazon-defender-detect"
THING, PORT, INTERVAL = "rpi-0001", 8883, 2
WITHIN = 1800  # seconds for a test, whose machine may have to be made first, where many others run
READY_WITHIN, REPORT_WITHIN, STEP_WITHIN = 120.0, 120.0, 300.0  # seconds, on a busy machine
INSTALL_WITHIN = 500.0  # seconds; it takes 20
LOOK_AGAIN = 0.1  # seconds
UNIT, USER = "amazon-defender-publisher.service", "amazon-defender-publisher"
PROGRAM = Path("/opt/aws/amazon-defender-publisher")
COMMAND, ETC, STATE = PROGRAM / "bin" / "amazon-defender-publisher", PROGRAM / "etc", Path("/var/lib") / USER
CONFIG, KEY = ETC / "amazon-defender-publisher.json", ETC / "private.key"
STEPS = ("platform", "python", "identity", "program", "configuration", "keys", "user", "service", "start", "verdict")
MOVED = {"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/.pwd.lock"}  # backups of useradd's
CHANGING = ("/var/log", "/var/cache", "/var/lib/systemd", "/run", "/tmp", "/var/tmp", "/dev", "/proc", "/sys")
FILES = ("amazon-defender-publisher.json", "certificate.pem", "private.key", "roots.pem")
SOURCE, BUNDLE, WHEELS = "/source", "/bundle", "/wheelhouse"  # where a machine sees them
INSTALLER, INSTALLER_SAYS = "installer.service", "/run/installer"  # of one that is not waited for

Run = subprocess.CompletedProcess[str]
BUNDLED = ("--bundle", f"{BUNDLE}/rpi-0001.tar")
NewSite = Callable[..., "Site"]


class Host(Namespace):
    """The network of the host, for a machine that needs the internet; its broker listens on loopback only."""

    def __init__(self) -> None:
        self.descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY)


class Operator:
    """What an operator does on a machine who installs and removes the service there."""

    machine: Machine

    def install(
        self, *options: object, source: str = SOURCE, within: float = INSTALL_WITHIN, **environment: str
    ) -> Run:
        """Run the installer as an operator does, who has the wheelhouse and no network."""
        command = ["bash", f"{source}/installers/install-rpi.bash", "--wheelhouse", WHEELS, *options]
        return self.machine.run(*command, within=within, **environment)

    def begin_install(
        self, *options: object, source: str = SOURCE, script: str = "install-rpi.bash", wheels: str = WHEELS
    ) -> None:
        """Start an installer, and do not wait for it."""
        command = ["bash", f"{source}/installers/{script}", "--wheelhouse", wheels, *options]
        self.machine.run("rm", "-f", INSTALLER_SAYS, check=True)
        self.machine.run("systemctl", "reset-failed", INSTALLER)
        output = [f"--property=Standard{stream}=append:{INSTALLER_SAYS}" for stream in ("Output", "Error")]
        self.machine.run("systemd-run", f"--unit={INSTALLER}", *output, *command, check=True)

    def wait_for_step(self, step: str) -> None:
        """Wait until the installer that was started has done a step."""
        deadline = time.monotonic() + STEP_WITHIN
        while f"  {step} " not in self.machine.run("cat", INSTALLER_SAYS).stdout:
            assert time.monotonic() < deadline, self.read(INSTALLER_SAYS)
            time.sleep(LOOK_AGAIN)

    def end_install(self, name: str) -> str:
        """Send the installer and all that it has started a signal; return what it said until its end."""
        self.machine.run("systemctl", "kill", f"--signal={name}", INSTALLER, check=True)
        deadline = time.monotonic() + STEP_WITHIN
        while self.machine.run("systemctl", "is-active", INSTALLER).stdout.strip() in ("active", "deactivating"):
            assert time.monotonic() < deadline, self.read(INSTALLER_SAYS)
            time.sleep(LOOK_AGAIN)
        return self.read(INSTALLER_SAYS)

    def uninstall(self, *options: object) -> Run:
        """Run the uninstaller."""
        return self.machine.run("bash", f"{SOURCE}/installers/uninstall-rpi.bash", *options)

    def read(self, path: Path | str) -> str:
        """Return a file's text."""
        return self.machine.run("cat", path, check=True).stdout

    def write(self, path: Path | str, text: str) -> None:
        """Write a file, as root does."""
        subprocess.run(self.machine.entering("tee", path), input=text, text=True, stdout=subprocess.DEVNULL, check=True)


class Site(Operator):
    """A machine and its cloud; what is installed there is up to the test."""

    def __init__(
        self,
        directory: Path,
        layers: Sequence[Path],
        authority: Authority,
        shared: dict[Path, str],
        cut_off: bool = True,
    ) -> None:
        """Lay everything out; `cut_off` is a machine that has no network but the line to its cloud."""
        self.network = Network()
        self.address, self.port = (CLOUD_ADDRESS, PORT) if cut_off else ("127.0.0.1", unused_port())
        self.cloud = self.network.cloud if cut_off else Host()
        self.files = authority.issue("broker", [self.address])
        self.authority = authority
        self.machine = Machine(layers, directory, self.network.device if cut_off else None, shared)
        self.detect: Program | None = None

    def open(self) -> Site:
        """Start Device Defender, and boot."""
        self.start_broker()
        self.machine.boot()
        return self

    def start_broker(self) -> None:
        """Let Device Defender take reports."""
        self.detect = Program(
            self.cloud,
            [
                *(
                    sys.executable,
                    DETECT,
                    "--debug",
                    "--embedded-broker",
                    "--endpoint",
                    self.address,
                    "--port",
                    self.port,
                ),
                *("--minimum-interval", 1, "--root-ca", self.authority.certificate),
                *("--certificate", self.files.certificate, "--private-key", self.files.private_key),
            ],
        )
        self.detect.wait_for_line("is ready on", READY_WITHIN)

    def stop_broker(self) -> None:
        """Let it be gone."""
        if self.detect is not None:
            self.detect.kill()

    def wait_for_report(self, since: float | None = None, thing: str = THING) -> int:
        """Return the id of the next report that Device Defender accepts, or of the first since a moment."""
        assert self.detect is not None
        since = time.monotonic() if since is None else since
        line = self.detect.wait_for_line(rf"{thing}: report \d+ of \d+ bytes accepted", REPORT_WITHIN, since)
        found = re.search(r"report (\d+)", line.text)
        assert found is not None
        return int(found[1])

    def pid(self) -> int:
        """Return the daemon's process id in the machine, 0 if it does not run."""
        return int(self.machine.run("systemctl", "show", "-P", "MainPID", UNIT, check=True).stdout)

    def kill(self, name: str, pid: int) -> None:
        """Send a process of the machine a signal."""
        self.machine.run("sh", "-c", f"kill -{name} {pid}", check=True)

    def version(self) -> str:
        """Return the version that is in force."""
        return self.machine.run("readlink", PROGRAM / "current", check=True).stdout.strip().rpartition("/")[2]

    def journal(self) -> str:
        """Return what the service has said."""
        return self.machine.run("journalctl", "--no-pager", "-u", UNIT).stdout

    def every_file(self) -> set[str]:
        """Return every file in the machine but those that come and go by themselves."""
        pruned = " -o ".join(f"-path {each}" for each in CHANGING)
        done = self.machine.run("sh", "-c", f"find / \\( {pruned} \\) -prune -o -print")
        return set(done.stdout.splitlines()) - MOVED

    def close(self) -> None:
        """Let go of everything."""
        self.machine.close()
        self.stop_broker()
        self.network.close()
        if isinstance(self.cloud, Host):
            self.cloud.close()


def write_bundle(
    path: Path, authority: Authority, thing: str = THING, more: Mapping[str, object] | None = None, **agent: object
) -> Path:
    """Write a thing's bundle, as deploy.py makes it; `more` are other sections, keywords go into the agent section."""
    files = authority.issue(thing)
    authentication = {
        "endpoint": CLOUD_ADDRESS,
        "port": PORT,
        "certificate": "certificate.pem",
        "private_key": "private.key",
        "root_ca": "roots.pem",
    }
    fast = {"publish_interval": INTERVAL, "allow_short_interval": True}
    config = {
        "agent": {"thing_name": thing, "authentication": authentication, **fast, **agent},
        "custom_metrics": {"cpu_usage": {}},
        **(more or {}),
    }
    contents = [
        json.dumps(config).encode(),
        *(file.read_bytes() for file in (files.certificate, files.private_key, authority.certificate)),
    ]
    with tarfile.open(path, "w") as tar:
        for name, content in zip(FILES, contents):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            tar.addfile(member, BytesIO(content))
    return path


def steps_of(output: str) -> list[str]:
    """Return the steps that an installer says it has done, in order."""
    return re.findall(r"^ ?\d+/10  (\S+)", output, re.MULTILINE)


def verdict_of(done: Run) -> str:
    """Return the last line of an installer that did well."""
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]
