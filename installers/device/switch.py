"""The switch to another version: it starts, or what was in force before is restored."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NoReturn

from configuration import holds_password
from etc import place
from files import read_file
from platforms import Platform
from program import link
from session import Session

SETTLE = 3.0  # seconds in which a version that ends right after its start shows that


class Switch:
    """The start of a version, and what is done where it fails."""

    def __init__(self, session: Session, platform: Platform) -> None:
        self.session = session
        self.commands = session.commands
        self.places = session.places
        self.platform = platform
        self.version = Path()
        self.under_way = False
        self._old = ""

    def start(self, version: Path, at_next_boot: bool = False) -> bool:
        """Let a version be in force and start it; return whether there is a service that could be started.

        `at_next_boot` is for a service that has no identity before that.
        """
        session, places = self.session, self.places
        session.begin("start")
        self.version, self._old = version, readlink(places.previous) or readlink(places.current)
        self.platform.started_at = time.time()
        self.under_way = True
        if self._old and places.root / self._old != version:
            self._point(places.previous, self._old)
        self._point(places.current, f"versions/{version.name}")
        if at_next_boot:
            self.under_way = False
            self._forget_old()
            session.finish("at the first boot")
            return False
        if not self.commands.has(self.platform.service_manager):
            self.under_way = False
            session.finish("not below a prefix")
            return False
        if not (self.platform.start() and self._settles()):
            self.restore("does not start")
        self.under_way = False
        self._forget_old()
        session.finish("running")
        return True

    def restore(self, why: str) -> NoReturn:
        """Let the version and the configuration be in force again that were before, and end."""
        self.under_way = False
        words, failed, back = self.platform.last_words(), self.version.name, ""
        if self.places.before.is_dir():
            place(self.places.before, self.places.etc)
            back = "the earlier configuration"
        old = self.places.root / self._old
        if self._old and old != self.version and old.is_dir():
            self._point(self.places.current, self._old)
            self.platform.companion = self.platform.companion_before
            self.platform.oneshots = self.platform.oneshots_before
            self.platform.write_service(old)
            self.version, back = old, old.name
        said = f"{words.rstrip()}\n" if words else ""
        if back and share_configuration(self.session, self.platform) and self.platform.start():
            self._forget_old()
            self._fail(said, f"{failed} {why}; restored {back}, which is running")
        self._fail(said, f"{failed} {why}; {self.platform.how_to_look()}")

    def _fail(self, said: str, text: str) -> NoReturn:
        self.commands.failed = False
        self.session.fail_after(said, text)

    def _settles(self) -> bool:
        self.commands.do(["sleep", f"{SETTLE:g}"], lambda: time.sleep(SETTLE))
        return self.platform.lives()

    def _point(self, name: Path, target: str) -> None:
        self.commands.do_as_device("point", [name, target], lambda: link(name, target))

    def _forget_old(self) -> None:
        """Remove what only an upgrade that fails would need."""
        versions = self.places.versions
        others = [each for each in sorted(versions.iterdir()) if each != self.version] if versions.is_dir() else []
        self.commands.remove(self.places.previous, self.places.before, *others)


def share_configuration(session: Session, platform: Platform) -> bool:
    """Let the service read a configuration that holds a password, which only root can read so far."""
    config = session.places.config
    if session.dry_run or not holds_password(read_file(config)):
        return True
    if not session.commands.system("chgrp", platform.user, config):
        return False
    session.commands.change_mode(0o640, config)
    return True


def readlink(path: Path) -> str:
    """Return what a link points to, empty if there is none."""
    try:
        return os.readlink(path)
    except OSError:
        return ""
