"""The identities: two places for a key and its certificate, and one link that says which pair is in force.

    etc/identities/a/private.key, certificate.pem     etc/identity -> identities/a
    etc/identities/b/private.key, certificate.pem     etc/private.key -> identity/private.key, and the certificate alike

The renaming of one link changes key and certificate together. Those who read them go on with the paths that they know.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from defender_daemon import files
from defender_daemon.certificate import certificate_id, is_certificate, pair_problems
from defender_publisher.errors import ConfigError
from defender_publisher.provisioning.progress import done

DIRECTORY, LINK = "identities", "identity"
KEY, CERTIFICATE, RETIRED = "private.key", "certificate.pem", "retired"
TAKEN = "taken"  # beside a pair that this device asked for: since when it is in force, in seconds since 1970
Slot = Literal["a", "b"]
SLOTS: tuple[Slot, ...] = ("a", "b")


class Identities:
    """The pairs of a device below `etc`; `certificate` and `private_key` are the paths that the configuration names."""

    def __init__(self, etc: Path, certificate: Path, private_key: Path) -> None:
        self.directory = etc / DIRECTORY
        self._link = etc / LINK
        self._paths = {CERTIFICATE: certificate, KEY: private_key}

    def prepare(self) -> None:
        """Make the directories."""
        for path in (self.directory, *(self.directory / slot for slot in SLOTS)):
            if not path.is_dir():
                path.mkdir()
                path.chmod(0o755)  # whatever the umask of root's is: the daemon reads its certificate there
                files.sync_directory(path.parent)

    @property
    def in_force(self) -> Slot | None:
        """The slot whose pair is in force; None while there is none; raises ConfigError for a link of another's."""
        try:
            target = os.readlink(self._link)
        except FileNotFoundError:
            return None
        except OSError:
            target = "nothing, because it is no link"
        for slot in SLOTS:
            if target == f"{DIRECTORY}/{slot}":
                return slot
        raise ConfigError([f"{self._link} must lead to {DIRECTORY}/a or {DIRECTORY}/b, but leads to {target}"])

    @property
    def spare(self) -> Slot:
        """The slot that is not in force, for the next pair."""
        return "b" if self.in_force == "a" else "a"

    @property
    def configured(self) -> list[Path]:
        """The paths of certificate and key that the configuration names and at which there is something to be read."""
        return [path for path in self._paths.values() if path.exists()]

    @property
    def linked(self) -> bool:
        """Whether the configured paths lead to the pair in force."""
        return all(os.path.islink(path) and os.readlink(path) == self._target(name) for name, path in self._pairs())

    def key(self, slot: Slot) -> Path:
        """Return where the slot's key is."""
        return self.directory / slot / KEY

    def certificate(self, slot: Slot) -> Path:
        """Return where the slot's certificate is."""
        return self.directory / slot / CERTIFICATE

    def has_pair(self, slot: Slot) -> bool:
        """Whether the slot's key is that of its certificate."""
        certificate, key = self.certificate(slot), self.key(slot)
        there = certificate.is_file() and key.is_file() and is_certificate(str(certificate))
        return there and not list(pair_problems(str(certificate), str(key)))

    def certificate_id(self, slot: Slot) -> str:
        """Return the ID that AWS IoT gives to the slot's certificate: its SHA-256 fingerprint."""
        return certificate_id(str(self.certificate(slot)))

    def put_key(self, slot: Slot, pem: bytes) -> None:
        """Keep a key in a slot, the same owner's as the one in force; nobody else reads it from its first byte on."""
        files.replace(self.key(slot), pem, sync=True, mode=0o600, owner=self._owner())

    def put_certificate(self, slot: Slot, pem: bytes) -> None:
        """Keep a certificate in a slot."""
        files.replace(self.certificate(slot), pem, sync=True, mode=0o644)

    def turn(self, slot: Slot) -> None:
        """Let the pair of this slot be in force from now on: key and certificate in one step."""
        files.replace_link(self._link, f"{DIRECTORY}/{slot}")
        done("turned")

    def show(self) -> None:
        """Let the configured paths lead to the pair in force."""
        for name, path in self._pairs():
            if not (os.path.islink(path) and os.readlink(path) == self._target(name)):
                files.replace_link(path, self._target(name))
                done(f"link {name}")

    def retire(self, slot: Slot, when: str) -> None:
        """Note that a slot's pair is not in force any more, and since when; it is kept until the next rotation."""
        if self.key(slot).exists():
            files.replace(self.directory / slot / RETIRED, f"{when}\n".encode(), sync=True, mode=0o644)

    def note_taken(self, slot: Slot, now: float) -> None:
        """Note since when a pair that this device asked for is in force, by the device's clock."""
        files.replace(self.directory / slot / TAKEN, f"{int(now)}\n".encode(), sync=True, mode=0o644)

    def taken(self, now: float) -> float | None:
        """Return since when the pair is in force that the configured paths lead to, where this device asked for it.

        None where that is not known, as of a time that is yet to come: the clock was wrong then, or is now.
        """
        slot = self.in_force
        if slot is None or not self.linked:
            return None
        try:
            since = float(files.read(self.directory / slot / TAKEN))
        except (OSError, ValueError):
            return None
        return since if since <= now else None

    def clear(self, slot: Slot) -> None:
        """Remove what is left in a slot of an earlier pair."""
        for name in (KEY, CERTIFICATE, RETIRED, TAKEN):
            files.remove(self.directory / slot / name)

    def take_over(self) -> bool:
        """Make two plain files at the configured paths the pair in force; return whether there was a new pair.

        Key and certificate are the same at each moment: they are copied, and then the paths become links to the copies.
        """
        if self.linked:
            return False
        slot, content = self.in_force, {name: path.read_bytes() for name, path in self._pairs()}
        new = slot is None or content != {KEY: _content(self.key(slot)), CERTIFICATE: _content(self.certificate(slot))}
        if new:
            slot = self.spare
            self.clear(slot)
            self.put_certificate(slot, content[CERTIFICATE])
            self.put_key(slot, content[KEY])
            done("copied")
            self.turn(slot)
        self.show()
        return new

    def _owner(self) -> tuple[int, int] | None:
        """Return user and group of the key in force: on macOS the service's own account reads it."""
        try:
            found = self._paths[KEY].stat()
        except FileNotFoundError:
            return None
        return (found.st_uid, found.st_gid) if os.geteuid() == 0 else None

    def _pairs(self) -> list[tuple[str, Path]]:
        return list(self._paths.items())

    def _target(self, name: str) -> str:
        """Return what the link at a configured path is to lead to, from the directory that it is really in."""
        etc, directory = (os.path.realpath(path.parent) for path in (self._link, self._paths[name]))
        return os.path.normpath(os.path.join(os.path.relpath(etc, directory), LINK, name))


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
