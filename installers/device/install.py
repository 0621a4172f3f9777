"""The story of installing: what is asked, what is put where, and in which order; one step is one line."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

from commands import CLOSED, say
from configuration import makes_name_by_command, parse
from etc import keep, place, write_stage
from files import read_file
from linux import Linux
from macos import Macos
from options import Options, read_options
from packages import Packages, keep_wheels
from platforms import Platform
from problem import Problem
from product import PUBLISHER, Product
from program import check_copy_of, copy, name_of, write_command
from session import Interrupted, Session, alone, heed_signals, tell_problem
from stage import describe, gather
from switch import Switch, readlink, share_configuration
from verdict import await_verdict

STEPS = 10
SOURCE = Path(__file__).resolve().parent.parent.parent
COMPLETE = "complete"  # the file that is written into a version last
AGAIN = ".again"  # ends the name of a version that is built beside the same one, which runs and is damaged
PLATFORMS: dict[str, Callable[[Session], Platform]] = {"linux": Linux, "macos": Macos}
ANY_NAME = "t"  # stands for a thing's name where a command makes it, which only the service's user may run


def main(words: list[str], product: Product = PUBLISHER) -> int:
    """Install a product, or upgrade it, as an installer's options say; return the exit status.

    Before the options, the script says its platform, the Python that it found, the directory of whoever installs, and
    what it had to install before there was a Python.
    """
    platform, python, directory, installed, *rest = words
    os.umask(CLOSED)
    heed_signals()
    try:
        options = read_options(rest, Path(directory), installed)
        session = Session(product, options, Path(python), STEPS)
        Installation(session, PLATFORMS[platform](session)).run()
    except Problem as problem:
        tell_problem(str(problem))
        return problem.status
    return 0


class Installation:
    """One installation, from the platform to the verdict."""

    def __init__(self, session: Session, platform: Platform) -> None:
        self.session = session
        self.commands = session.commands
        self.places = session.places
        self.options: Options = session.options
        self.platform = platform
        self.switch = Switch(session, platform)
        self.program = Path()
        self.replaces = False

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
            self._install()
        except Interrupted:
            if self.switch.under_way:
                self.switch.restore("was interrupted")
            raise

    def _install(self) -> None:
        self._provide_python()
        self._gather_identity()
        self._install_program()
        self._check_configuration()
        self._install_keys()
        self._install_user()
        self._install_service()
        starts = self.switch.start(self.program)
        self._await_verdict(starts)

    def _provide_python(self) -> None:
        self.session.begin("python")
        self.commands.make_open(self.places.root)
        self.session.open_transcript()
        installed = self.options.installed or self.platform.provide_python()
        number = ".".join(map(str, sys.version_info[:3]))
        self.session.finish(
            f"Python {number}, {self.session.python}" + (f"; installed: {installed}" if installed else "")
        )

    def _gather_identity(self) -> None:
        self.session.begin("identity")
        arguments = self._stage_arguments()
        self.commands.do_as_device("stage-files", words_of(arguments), lambda: None)
        stage = gather(arguments)
        self.replaces = self.options.replace or stage.renewed
        found = describe(stage, arguments)
        if not self.session.dry_run:
            write_stage(self.places.staged, stage.files)
        if self.session.dry_run:
            say(found)
        self.session.finish(found)

    def _stage_arguments(self) -> argparse.Namespace:
        """Return the options of the command that gathers what etc is going to hold."""
        options, places, log = self.options, self.places, self.platform.default_logfile
        return argparse.Namespace(
            into=places.staged, etc=places.etc, template=SOURCE / "configs" / self.platform.template,
            state_directory=str(places.below(self.platform.state)), logfile=str(places.below(log)) if log else None,
            bundle=options.bundle, config=options.config, endpoint=options.endpoint, thing_name=options.thing_name,
            certificate=options.certificate, private_key=options.private_key, root_ca=options.root_ca,
            port=options.port, replace=options.replace, ask=not options.non_interactive, dry_run=self.session.dry_run,
        )  # fmt: skip

    def _install_program(self) -> None:
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
        self.commands.do_as_device("write-launcher", [root, user], written)
        self.session.finish(found)

    def _is_whole(self, program: Path) -> bool:
        """Whether a version was installed to its end, nothing of it is damaged, and its packages fit its Python."""
        python, product = program / "venv" / "bin" / "python", self.session.product
        return (
            (program / COMPLETE).exists()
            and self.commands.ask(python, "-I", "-c", f"import {', '.join(product.imports)}") is not None
            and self.commands.ask(python, "-Es", program / product.name, "--version") is not None
            and check_copy_of(program, product)
        )

    def _build(self) -> str:
        """Build a version; return how, where that is worth a word."""
        program, commands, session = self.program, self.commands, self.session
        commands.remove(program)
        commands.make_open(self.places.versions, program)
        commands.do_as_device("copy-program", [SOURCE, program], lambda: copy(SOURCE, program, session.product))
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
        packages = Packages(self.commands, self.program, self.options.directory, wheelhouse)
        if not packages.install():
            installed = self.platform.provide_builders()
            how = f"; with {' '.join(installed)} of the distribution"
            if not installed or not packages.install(with_systems=True):
                self.session.fail("the Python packages cannot be installed")
        if wheelhouse is not None and self.platform.keeps_wheels:
            self.commands.make_open(packages.wheels)
            keep_wheels(self.commands, wheelhouse, packages.wheels, SOURCE / "requirements.txt")
        return how

    def _check_configuration(self) -> None:
        self.session.begin("configuration")
        staged, config = self.places.staged / self.places.config.name, self.places.config
        checked = staged if self.session.dry_run or staged.exists() else config
        name = []
        if not self.session.dry_run and makes_name_by_command(parse(read_file(checked), str(checked))):
            name = ["-t", ANY_NAME]
        program = (self.program / "venv" / "bin" / "python", "-Es", self.program / self.session.product.name)
        done = self.commands.run(*program, "--check-config", *name, checked)
        self.session.require(done, "it cannot be used")
        self.session.finish(str(config))

    def _install_keys(self) -> None:
        self.session.begin("keys")
        etc, staged, before = self.places.etc, self.places.staged, self.places.before
        self.commands.make_open(etc)
        if self.replaces and self.places.config.exists() and not before.is_dir():
            self.commands.do_as_device("keep-files", [etc, before], lambda: keep(etc, before))
        self.commands.do_as_device("place-files", [staged, etc], lambda: place(staged, etc))
        self.session.finish(f"{etc / 'private.key'}, readable by {self.platform.key_readers} only")

    def _install_user(self) -> None:
        self.session.begin("user")
        self.platform.make_user()
        logs = self.places.logs
        self.commands.make_open(logs)
        self.commands.change_mode(0o750, logs)
        self.platform.own_logs(logs)
        self._share()
        self.session.finish(f"{self.platform.user}, who cannot log in")

    def _share(self) -> None:
        done = share_configuration(self.session, self.platform)
        secret = f"{self.places.config}, which holds a password,"
        self.session.require(done, f"{secret} cannot be given to {self.platform.user}")

    def _install_service(self) -> None:
        self.session.begin("service")
        self.platform.write_service(self.program)
        self.session.finish(str(self.platform.service_file))

    def _await_verdict(self, starts: bool) -> None:
        self.session.begin("verdict")
        if not starts:
            self.session.finish("none below a prefix")
            return
        since = self.platform.started_at
        question = [self.places.command, self.places.config, f"{since:.0f}"]
        self.commands.do_as_device("wait-for-verdict", question, lambda: None)
        if self.session.dry_run:
            return
        try:
            found = await_verdict(self.places.command, self.places.config, since, self.platform.user)
        except Problem as problem:
            raise Problem(f"{problem}\n{self.platform.how_to_look()}", problem.status) from problem
        self.session.finish(found)


def words_of(arguments: argparse.Namespace) -> list[object]:
    """Return the arguments of a command as words."""
    words: list[object] = []
    for name, value in vars(arguments).items():
        if value is not None and value is not False and name != "dry_run":
            words += [f"--{name.replace('_', '-')}"] + ([value] if value is not True else [])
    return words
