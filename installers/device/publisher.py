"""The story of installing the publisher on a device: who it is, its configuration and key, and its first report."""

from __future__ import annotations

import argparse
from pathlib import Path

from claim import CLAIM_PAIR, PAIR, is_by_claim
from commands import say
from configuration import CONFIG, compose, makes_name_by_command, parse, section
from credentials import CLAIM_CERTIFICATE, CLAIM_KEY, KEY
from etc import FORGET, MODES, keep, place, write_stage
from files import read_file, write
from installation import AS_PROGRAM, SOURCE, Installation
from nucleus import look_for_nucleus
from platforms import Platform
from problem import Problem
from product import PROVISION, ROTATION, Oneshot
from session import Session, tell_problem
from stage import describe, gather
from switch import readlink, share_configuration
from verdict import await_verdict

MISUSE = 2  # exit status of options that do not go together
TRY_AGAIN, REFUSED, BAD_CONFIGURATION = 75, 77, 78  # exit statuses of --provision, and the installer's: sysexits.h
COMMANDS_AS = "AMAZON_DEFENDER_COMMANDS_AS"  # names whose a configuration's commands are where root asks
ANY_NAME = "t"  # stands for a thing's name where a command makes it, which only the service's user may run


class PublisherInstallation(Installation):
    """One installation of the publisher."""

    steps = 10
    replaces = False  # whether configuration and keys take the place of those that are there

    def __init__(self, session: Session, platform: Platform) -> None:
        super().__init__(session, platform)
        self.by_claim = is_by_claim(self._stage_arguments())
        self.session.steps += self.by_claim  # the one that asks for a certificate
        self.has_pair = not self.by_claim

    def install(self) -> None:
        """Take all steps after the first."""
        self.provide_python()
        self._gather_identity()
        self.install_program()
        self._check_configuration()
        self._install_keys()
        self._install_user()
        if self.by_claim:
            self._provision()
        self._forget_claim()
        self.install_service()
        starts = self.switch.start(self.program, at_next_boot=self.options.first_boot)
        self._await_verdict(starts)

    def _gather_identity(self) -> None:
        self.session.begin("identity")
        if self.options.first_boot and not self.platform.has_first_boot:
            self.session.fail("--first-boot is for Linux; on a Mac leave it out", MISUSE)
        arguments = self._stage_arguments()
        self.commands.do_as_device("stage-files", words_of(arguments), lambda: None)
        stage = gather(arguments)
        self.replaces = self.options.replace or stage.renewed
        self.has_pair = set(stage.files) >= PAIR
        self.platform.oneshots = self._wanted_oneshots(stage.files)
        found = describe(stage, arguments)
        self._heed_nucleus(stage.files)
        if not self.session.dry_run:
            write_stage(self.places.staged, stage.files)
        if self.session.dry_run:
            say(found)
        self.session.finish(found)

    def _wanted_oneshots(self, files: dict[str, bytes]) -> tuple[Oneshot, ...]:
        """Return what runs beside the service: at the first boot of an image, and where certificates are rotated."""
        provisioning = section(section(parse(files[CONFIG], CONFIG), "agent"), "provisioning")
        wanted = {PROVISION: self.options.first_boot, ROTATION: bool(provisioning.get("rotation_template"))}
        return tuple(each for each, is_wanted in wanted.items() if is_wanted)

    def _heed_nucleus(self, files: dict[str, bytes]) -> None:
        """Say what there is of Greengrass; a first installation that would disconnect a nucleus ends here."""
        allowed = self.options.beside_greengrass or bool(readlink(self.places.current))
        try:
            said = look_for_nucleus(files, self.places.prefix, allowed)
        except Problem as problem:
            self.session.fail(str(problem))
        if said:
            tell_problem(f"{self.session.step}: {said}")

    def _stage_arguments(self) -> argparse.Namespace:
        """Return the options of the command that gathers what etc is going to hold."""
        options, places, log = self.options, self.places, self.platform.default_logfile
        return argparse.Namespace(
            into=places.staged, etc=places.etc, template=SOURCE / "configs" / self.platform.template,
            state_directory=str(places.below(self.platform.state)), logfile=str(places.below(log)) if log else None,
            bundle=options.bundle, claim=options.claim, config=options.config, endpoint=options.endpoint,
            thing_name=options.thing_name, serial=options.serial, first_boot=options.first_boot,
            certificate=options.certificate, private_key=options.private_key, root_ca=options.root_ca,
            port=options.port, replace=options.replace, ask=not options.non_interactive, dry_run=self.session.dry_run,
        )  # fmt: skip

    def _check_configuration(self) -> None:
        self.session.begin("configuration")
        staged, config = self.places.staged / self.places.config.name, self.places.config
        checked = self._with_pair(staged if self.session.dry_run or staged.exists() else config)
        name = []
        if not self.session.dry_run and makes_name_by_command(parse(read_file(checked), str(checked))):
            name = ["-t", ANY_NAME]
        program = (self.program / "venv" / "bin" / "python", AS_PROGRAM, self.program / self.session.product.name)
        done = self.commands.run(*program, "--check-config", *name, checked)
        self.session.require(done, "it cannot be used")
        self._check_companion(checked)
        self.session.finish(
            str(config) + (f", for {self.platform.companion.name} too" if self.platform.companion else "")
        )

    def _with_pair(self, config: Path) -> Path:
        """Return the configuration to check: with the claim's pair in the place of one that is not there yet."""
        checked = config.with_name(f"{config.name}.claim")
        if self.has_pair or self.session.dry_run:
            return config
        content = parse(read_file(config), str(config))
        pair = {"certificate": CLAIM_CERTIFICATE, "private_key": CLAIM_KEY}
        agent = section(content, "agent")
        section(agent, "authentication").update(pair)
        if self.options.first_boot:
            agent["thing_name"] = ANY_NAME  # its command is for another device to run
        write(checked, compose(content), MODES[KEY])
        return checked

    def _check_companion(self, config: Path) -> None:
        """Let the second program judge the configuration; the command that makes the thing's name is none of root's."""
        companion = self.platform.companion
        if companion is None:
            return
        words = [self.program / "venv" / "bin" / "python", AS_PROGRAM, self.program / companion.name]
        environment = {**self.commands.environment, COMMANDS_AS: self.platform.user}
        done = self.commands.run(*words, "--check-config", config, environment=environment)
        self.session.require(done, f"{companion.name} cannot use it")

    def _install_keys(self) -> None:
        self.session.begin("keys")
        etc, staged, before = self.places.etc, self.places.staged, self.places.before
        self.commands.make_open(etc)
        if self.replaces and self.places.config.exists() and not before.is_dir():
            self.commands.do_as_device("keep-files", [etc, before], lambda: keep(etc, before))
        self.commands.do_as_device("place-files", [staged, etc], lambda: place(staged, etc))
        key = KEY if self.has_pair else CLAIM_KEY
        self.session.finish(f"{etc / key}, readable by {self.platform.key_readers if key == KEY else 'root'} only")

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

    def _provision(self) -> None:
        """Let the installed program make a key and ask for its certificate, here or at the first boot of an image."""
        self.session.begin("provision")
        if self.options.first_boot:
            if self.options.forget_claim:
                self.commands.touch(self.places.etc / FORGET)
            self.session.finish(f"at the first boot, by {PROVISION.units[0]}")
            return
        words = [self.program / "venv" / "bin" / "python", AS_PROGRAM, self.program / self.session.product.name]
        environment = {**self.commands.environment, COMMANDS_AS: self.platform.user}
        status, said = self.commands.answer(*words, "--provision", self.places.config, environment=environment)
        if status in (TRY_AGAIN, REFUSED):
            self.session.fail(said, status)
        self.commands.failed = status != 0
        ends_with = BAD_CONFIGURATION if status == BAD_CONFIGURATION else 1
        self.session.require(status == 0, "the program cannot ask for a certificate", ends_with)
        self.session.finish(said)

    def _forget_claim(self) -> None:
        """Remove the claim, where that was asked for and there is a certificate."""
        if self.options.forget_claim and not self.options.first_boot:
            self.commands.remove(*(self.places.etc / name for name in sorted(CLAIM_PAIR)))

    def _await_verdict(self, starts: bool) -> None:
        self.session.begin("verdict")
        if not starts:
            self.session.finish("none before the first boot" if self.options.first_boot else "none below a prefix")
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
