"""An installation: what is put where, and in which order, whatever is installed; one step is one line."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import ClassVar

from options import Options
from packages import Packages, keep_wheels
from platforms import Platform
from program import check_copy_of, copy, name_of, write_command
from session import Interrupted, Session, alone
from switch import Switch, readlink

SOURCE = Path(__file__).resolve().parent.parent.parent
AS_PROGRAM = "-EsB"  # how a Python runs the program, which finds its packages beside it, and writes nothing there
COMPLETE = "complete"  # the file that is written into a version last
AGAIN = ".again"  # ends the name of a version that is built beside the same one, which runs and is damaged


class Installation:
    """One installation, from the platform to the verdict; what is installed says which steps there are."""

    steps: ClassVar[int]

    def __init__(self, session: Session, platform: Platform) -> None:
        self.session = session
        self.commands = session.commands
        self.places = session.places
        self.options: Options = session.options
        self.platform = platform
        self.switch = Switch(session, platform)
        self.program = Path()

    def run(self) -> None:
        """Tell the story; raises Problem where it ends before its time."""
        session = self.session
        try:
            session.begin("platform")
            if os.geteuid() != 0 and not (session.dry_run or self.commands.prefix):
                session.fail("this needs root: sudo bash installers/install-*.bash ...")
            found = self.platform.describe()
            with alone(session):
                session.finish(found)
                self._install_or_restore()
        except Interrupted:
            session.fail("interrupted; run this again")
        except OSError as error:
            session.fail(f"{error.filename or 'the system'}: {error.strerror}")

    def _install_or_restore(self) -> None:
        try:
            self.install()
        except Interrupted:
            if self.switch.under_way:
                self.switch.restore("was interrupted")
            raise
        except OSError as error:
            if self.switch.under_way:
                self.switch.restore(f"cannot be started ({error.filename or 'the system'}: {error.strerror})")
            raise

    def install(self) -> None:
        """Take all steps after the first."""
        raise NotImplementedError

    def provide_python(self) -> None:
        """See which Python there is, and complete it."""
        self.session.begin("python")
        self.commands.make_open(self.places.root)
        self.session.open_transcript()
        installed = self.options.installed or self.platform.provide_python()
        number = ".".join(map(str, sys.version_info[:3]))
        self.session.finish(
            f"Python {number}, {self.session.python}" + (f"; installed: {installed}" if installed else "")
        )

    def install_program(self) -> None:
        """Build this version beside the others, unless it is there."""
        self.session.begin("program")
        version = name_of(SOURCE, self.session.product)
        program = self.places.versions / version
        if not self._is_whole(program) and readlink(self.places.current) == f"versions/{version}":
            program = program.with_name(program.name + AGAIN)  # what runs is not taken from below it
        self.program = program
        found = f"{version} is there already" if self._is_whole(program) else f"{version} in {program}{self._build()}"
        self.commands.make_open(self.places.root / "bin")
        root, user = self.places.root, self.platform.user
        written = functools.partial(write_command, root, self.session.product, user)
        words = [root, user, self.session.product.name]
        self.commands.do_as_device("write-launcher", words, written)
        self.session.finish(found)

    def _is_whole(self, program: Path) -> bool:
        """Whether a version was installed to its end, nothing of it is damaged, and its packages fit its Python."""
        python, product = program / "venv" / "bin" / "python", self.session.product
        imports = (*product.imports, *(self.platform.companion.imports if self.platform.companion else ()))
        return (
            (program / COMPLETE).exists()
            and self.commands.ask(python, "-I", "-c", f"import {', '.join(imports)}") is not None
            and self.commands.ask(python, AS_PROGRAM, program / product.name, "--version") is not None
            and check_copy_of(program, product)
        )

    def _build(self) -> str:
        """Build a version; return how, where that is worth a word."""
        program, commands, session = self.program, self.commands, self.session
        commands.remove(program)
        commands.make_open(self.places.versions, program)
        words = [SOURCE, program, session.product.name]
        commands.do_as_device("copy-program", words, lambda: copy(SOURCE, program, session.product))
        how = self._install_packages()
        python = program / "venv" / "bin" / "python"
        parts = [program / part for part in session.product.compiled]
        commands.run(python, "-I", "-m", "compileall", "-q", *parts)
        commands.open_all(program)
        commands.touch(program / COMPLETE)
        if not session.dry_run and not self._is_whole(program):
            session.fail(f"what was installed in {program} does not run")
        return how

    def _install_packages(self) -> str:
        wheelhouse, how = self.options.wheelhouse, ""
        product, called_from = self.session.product, self.options.called_from
        packages = Packages(self.commands, self.program, called_from, wheelhouse, product, self.platform.companion)
        if not packages.install():
            installed = self.platform.provide_builders()
            how = f"; with {' '.join(installed)} of the distribution"
            if not installed or not packages.install(with_systems=True):
                self.session.fail("the Python packages cannot be installed")
        if wheelhouse is not None and self.platform.keeps_wheels:
            self.commands.make_open(packages.wheels)
            keep_wheels(self.commands, wheelhouse, packages.wheels, SOURCE / product.requirements)
        return how

    def install_service(self) -> None:
        """Put the service files of this version in place."""
        self.session.begin("service")
        self.platform.write_service(self.program)
        companion = self.platform.companion
        self.session.finish(str(self.platform.service_file) + (f", and {companion.name}" if companion else ""))
