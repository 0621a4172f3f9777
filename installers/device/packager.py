"""The packages of the distribution, by apt or dnf: what Python lacks, and what builds wheels where there are none."""

from __future__ import annotations

import shutil

from commands import OPEN, Commands
from problem import Problem

NAMES = {  # of what is missing, by packager
    "apt": {"venv": "python3-venv"},
    "dnf": {"venv": "python3-pip"},
}
BUILDING = {  # the distribution's own packages as far as it has them, and a compiler
    "apt": ("python3-psutil", "python3-msgspec", "python3-cbor2", "gcc", "libc6-dev", "python3-dev"),
    "dnf": ("python3-psutil", "python3-msgspec", "python3-cbor2", "gcc", "python3-devel"),
}
WITHOUT_WHEELS = ("armhf", "armel", "armv6", "armv7", "i386", "i686")  # processors for which PyPI has no wheels
UNBUILT = ("Failed building wheel", "Failed to build")  # what pip says where a compiler is missing


class Packager:
    """Installs packages of the system; `offline` fetches no list of them."""

    def __init__(self, commands: Commands, offline: bool) -> None:
        self.commands = commands
        self.offline = offline
        self.name = "apt" if shutil.which("apt-get") else "dnf" if shutil.which("dnf") else ""

    def provide(self, missing: str) -> str:
        """Install what is missing and return the package's name; raises Problem with what to do instead."""
        package = NAMES.get(self.name, {}).get(missing, missing)
        if self._install(package) or (self._update() and self._install(package)):
            return package
        raise Problem(f"install what is missing first: {self._advice(package)}")

    def provide_builders(self) -> list[str]:
        """Install what wheels are built with, as far as it is to be had; return what was."""
        self._update()
        return [package for package in BUILDING.get(self.name, ()) if self._install(package)]

    def architecture(self) -> str:
        """Return the userland's processor: the kernel may be a 64-bit one below 32-bit programs."""
        ask = self.commands.ask
        said = (
            ask("dpkg", "--print-architecture") or ask("rpm", "--eval", "%{_arch}") or ask("uname", "-m") or "unknown"
        )
        return said.strip()

    def lacks_wheels(self) -> bool:
        """Whether a compiler could help: not where pip got no answer, for instance."""
        if self.architecture().startswith(WITHOUT_WHEELS):
            return True
        transcript = self.commands.transcript
        text = transcript.read_text("utf-8", "replace") if transcript and transcript.exists() else ""
        return any(words in text for words in UNBUILT)

    def _install(self, package: str) -> bool:
        if self.name == "apt":
            words = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "install"]
            return self.commands.system(*words, "--no-install-recommends", package, umask=OPEN)
        return self.name == "dnf" and self.commands.system("dnf", "-q", "-y", "install", package, umask=OPEN)

    def _update(self) -> bool:
        """Bring package lists up to date, which is done only where it does not go without, and never offline."""
        return self.name == "apt" and not self.offline and self.commands.system("apt-get", "-q", "update", umask=OPEN)

    def _advice(self, package: str) -> str:
        if self.name == "apt":
            return f"apt-get update && apt-get install --no-install-recommends {package}"
        return f"dnf install {package}" if self.name == "dnf" else "there is neither apt nor dnf here"
