"""The story of installing Detect: the directory that `amazon-defender-detect init` made becomes a service."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from configuration import section
from directory import Directory
from installation import AS_PROGRAM, SOURCE, Installation
from linux import UNITS
from program import link
from session import tell_problem
from switch import readlink
from verdict import as_service

DIRECTORY = "/etc/amazon-defender-detect"
CONSOLE_ADDRESS = "/run/amazon-defender-detect-console/address"  # its token is in there, for root
RENEWAL = "amazon-defender-detect-renewal.conf"  # what the unit gets beside
LISTENS_ON = "127.0.0.1"  # the built-in broker, unless the configuration says where


class DetectInstallation(Installation):
    """One installation of Detect."""

    steps = 9
    directory: Directory

    def install(self) -> None:
        """Take all steps after the first."""
        self.provide_python()
        self._heed_python()
        self._find_directory()
        self.install_program()
        self._install_user()
        self._check_configuration()
        self._hand_over_authority()
        self.install_service()
        starts = self.switch.start(self.program)
        self._ask_doctor(starts)

    def _heed_python(self) -> None:
        """Say that there will be no console where Python is too old for it; the rest is installed."""
        second = self.session.product.companion
        kept = self.platform.companion_before is not None and not self.options.no_companion
        if second and (self.options.companion or kept) and self.platform.companion is None:
            oldest, own = ".".join(map(str, second.oldest)), ".".join(map(str, sys.version_info[:3]))
            tell_problem(
                f"python: the console needs Python {oldest} or later, {self.session.python} is Python {own}; "
                f"Detect is installed without it, and a newer one can be named by --python"
            )

    def _find_directory(self) -> None:
        """See that the directory is one that a service can be made of, and let the unit find it."""
        self.session.begin("directory")
        self.directory = Directory(self._chosen(), self.session.product.name, self.places.prefix)
        missing = self.directory.missing()
        if missing:
            program = SOURCE / self.session.product.name
            self.session.fail(f"{missing}; make it first: {program} init {self.directory.path}")
        problem = self.directory.problem(self.platform.state)
        if problem:
            self.session.fail(problem)
        self.platform.shards = self.directory.shards()
        has_api = section(self.directory.config(), "detect").get("api") is not None
        if self.platform.shards and self.platform.companion and has_api:
            by_hand = f"{self.session.product.name} console --state-directory {self.platform.state}/0"
            self.session.fail(
                "detect.api answers for one Detect, and agent.topic has shards: take it out, or install without the "
                f"console (--no-console), and start one by hand: {by_hand}"
            )
        etc, path = self.places.etc, self.directory.path
        if readlink(etc) != str(path):
            self.commands.do_as_device("point", [etc, path], lambda: link(etc, path))
        shards = f", in {self.platform.shards} shards" if self.platform.shards else ""
        self.session.finish(f"{path}, for {self._place()}{shards}")

    def _chosen(self) -> Path:
        """Return the directory that was named, or that of an earlier installation, or the usual one."""
        earlier = readlink(self.places.etc)
        chosen = self.options.directory or Path(earlier or self.places.below(DIRECTORY))
        return Path(os.path.realpath(chosen))

    def _place(self) -> str:
        """Return where Detect is going to be, for people."""
        agent = section(self.directory.config(), "agent")
        authentication = section(agent, "authentication")
        endpoint, port = authentication.get("endpoint") or LISTENS_ON, authentication.get("port", 8883)
        return f"{'the built-in broker on' if agent.get('embedded_broker') else 'the broker'} {endpoint}:{port}"

    def _install_user(self) -> None:
        """Make the service's user, who can read what the service has to, and none of the keys."""
        self.session.begin("user")
        self.platform.make_user()
        for path, mode in self.directory.closed():
            done = self.commands.system("chgrp", self.platform.user, path)
            self.session.require(done, f"{path} cannot be given to {self.platform.user}")
            self.commands.change_mode(mode, path)
        self.session.finish(f"{self.platform.user}, who cannot log in")

    def _check_configuration(self) -> None:
        """Let the new version judge the configuration, as the service's user and with a key as the service has it."""
        self.session.begin("configuration")
        config = self.directory.path / self.places.config.name
        with self._as_service() as (copy, identity):
            key = ["--private-key", copy] if copy else []
            python = self.program / "venv" / "bin" / "python"
            words = [python, AS_PROGRAM, self.program / self.session.product.name, "--check-config", *key, config]
            done = self.commands.run(*words, identity=identity)
        self.session.require(done, "it cannot be used")
        self.session.finish(str(config))

    def _hand_over_authority(self) -> None:
        """Let systemd give the service the authority's key where things renew their certificates, and only there."""
        place = self.places.below(UNITS / f"{self.session.product.units[0]}.d") / RENEWAL
        if self.directory.renews():
            new = place.with_name(f"{place.name}.new")  # which systemd does not read
            self.commands.make_open(place.parent)
            self.commands.copy(SOURCE / "installers" / RENEWAL, new)
            self.commands.change_mode(0o644, new)
            self.commands.move(new, place)
        elif place.exists():
            self.commands.remove(place)

    def _as_service(self) -> Any:
        user = "" if self.session.dry_run or self.commands.prefix else self.platform.user
        return as_service(user, self.directory.key)

    def _ask_doctor(self, starts: bool) -> None:
        """Say that it is ready, which systemd waited for, and what the doctor finds."""
        self.session.begin("verdict")
        if not starts:
            self.session.finish("none below a prefix")
            return
        config, command = self.directory.path / self.places.config.name, self.places.command
        self.commands.tell(command, "--doctor", config)
        if self.session.dry_run:
            return
        ready = f"ready on {self._place()}"
        shown = f"; the console's address: sudo cat {CONSOLE_ADDRESS}" if self.platform.companion else ""
        if "--doctor" not in (self.commands.ask(command, "--help") or ""):
            self.session.finish(ready + shown)
            return
        with self._as_service() as (copy, identity):
            key = ["--private-key", copy] if copy else []
            well, said = self.commands.hear(command, "--doctor", *key, config, identity=identity)
        if not well:
            self.session.fail_after(f"{said.rstrip()}\n", f"Detect runs, but see above; {self.platform.how_to_look()}")
        self.session.finish(f"{ready}; the doctor finds nothing wrong{shown}")
