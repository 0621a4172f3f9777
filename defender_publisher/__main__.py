"""The program: does what the command line asks for, and ends with the exit status that says how it went."""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import defender_publisher
from defender_daemon.program import EXIT_OK, begin, carry_out
from defender_publisher import PROGRAM

PARSERS = ("argparse", "gettext", "locale", "defender_publisher.arguments")
INTERRUPTED = 130  # as a shell has it of what SIGINT ended: 128 + 2
CONTINUES = "what was done is kept, and the next run continues from there"
PACKAGES = ("AWSIoTPythonSDK", "cbor2", "msgspec", "psutil", "timeloop")  # requirements.txt


def main(argv: list[str] | None = None) -> int:
    """Run the publisher as the arguments say; return the exit status."""
    begin()
    options = _read_arguments(sys.argv[1:] if argv is None else argv)
    is_daemon = not (options.asks or options.dry_run)
    return carry_out(lambda: run(options), PROGRAM, PACKAGES, options.asks, is_daemon)


def run(options: SimpleNamespace) -> int:
    """Answer a question, or publish until a signal; return the exit status."""
    try:
        return _run(options)
    except KeyboardInterrupt:  # a SIGTERM, too
        if not (options.provision or options.rotate or options.rotation_due):
            raise
        return _say_interrupted(changes=not options.rotation_due)


def _say_interrupted(changes: bool) -> int:
    """Say what an interruption of what is about certificates leaves behind; return the exit status.

    Here, because it may come while what does the work is being imported. 1 would say that a rotation is not due.
    """
    print(f"interrupted; {CONTINUES if changes else 'nothing was changed'}", file=sys.stderr)
    return INTERRUPTED


def _run(options: SimpleNamespace) -> int:
    from defender_publisher.overrides import overrides_of
    from defender_publisher.settings import find_config_file, read_settings

    if options.greengrass:
        return run_component(options)
    overrides = overrides_of(vars(options))
    path = find_config_file(options.config, overrides)
    if options.asks or options.dry_run:
        from defender_publisher import questions  # here, because the daemon does without

        return questions.answer(options, path, overrides)
    from defender_publisher.daemon import run_until_stopped

    run_until_stopped(read_settings(path, overrides), lambda: read_settings(path, overrides))
    return EXIT_OK


def run_component(options: SimpleNamespace) -> int:
    """Do the same as a Greengrass component, whose configuration the nucleus has."""
    from defender_daemon import logs
    from defender_publisher.greengrass import component
    from defender_publisher.overrides import overrides_of
    from defender_publisher.settings import Settings, read_settings

    overrides, directory = overrides_of(vars(options)), component.state_directory()
    quiet = options.asks and not options.check_config
    logs.log_to_stderr(logging.WARNING if quiet else logging.INFO)  # until the configuration is there that says where

    def reread() -> Settings:
        return read_settings(component.refetch_configuration(directory), overrides)

    if options.asks or options.dry_run:
        from defender_publisher import questions

        return questions.answer(options, component.fetch_configuration(directory), overrides)
    from defender_publisher.daemon import run_until_stopped

    with component.follow_configuration():
        run_until_stopped(read_settings(component.wait_for_configuration(directory), overrides), reread)
    return EXIT_OK


def _read_arguments(argv: list[str]) -> SimpleNamespace:
    """Return the options, and let go of what reads them: a daemon goes on for years in the 0.3 MB that it leaves."""
    ours = [name for name in PARSERS if name not in sys.modules]
    from defender_publisher.arguments import read_arguments

    options = SimpleNamespace(**vars(read_arguments(argv)))
    del read_arguments
    for name in ours:
        del sys.modules[name]
    vars(defender_publisher).pop("arguments", None)
    gc.collect()
    return options


if __name__ == "__main__":
    import defender_start

    program = Path(__file__).resolve().parent.parent / PROGRAM  # in a checkout there may be a .venv
    defender_start.begin(str(program), oldest=(3, 9))
    sys.exit(main())
