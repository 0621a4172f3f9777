"""The options of an installer; its help is printed by the scripts, because it is there without a Python too."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from problem import Problem

MISUSE = 2  # exit status
FLAGS = {
    "--dry-run": "dry_run", "--replace": "replace", "--non-interactive": "non_interactive",
    "--update-lists": "update_lists", "--cloudwatch": "companion", "--no-cloudwatch": "no_companion",
    "--first-boot": "first_boot", "--forget-claim": "forget_claim",
    "--console": "companion", "--no-console": "no_companion", "--beside-greengrass": "beside_greengrass",
}  # fmt: skip
NO_OPTION = {"called_from", "installed", *FLAGS.values()}
LONGEST_PORT = 5  # digits


@dataclass(frozen=True)
class Options:
    """What an installation was told; paths are as given, from the directory of whoever installs."""

    bundle: Path | None = None
    claim: Path | None = None
    endpoint: str | None = None
    thing_name: str | None = None
    serial: str | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    root_ca: Path | None = None
    port: int | None = None
    config: Path | None = None
    wheelhouse: Path | None = None
    python: str | None = None
    prefix: Path | None = None
    replace: bool = False
    non_interactive: bool = False
    dry_run: bool = False
    update_lists: bool = False
    companion: bool = False  # the product's second program, by whichever name it has there
    no_companion: bool = False
    beside_greengrass: bool = False
    first_boot: bool = False  # an image is made, whose devices ask for their certificates when they boot first
    forget_claim: bool = False  # the claim is removed once there is a certificate
    directory: Path | None = None
    called_from: Path = Path("/")
    installed: str = ""  # what was installed of the system before there was a Python


PATHS = {each.name for each in fields(Options) if "Path | None" in str(each.type)}
VALUES = {f"--{each.name.replace('_', '-')}": each.name for each in fields(Options) if each.name not in NO_OPTION}


def read_options(
    words: Sequence[str], directory: Path, installed: str = "", allowed: Container[str] = (*FLAGS, *VALUES)
) -> Options:
    """Return the options of an installer called from a directory, which takes those that are `allowed`.

    Raises Problem, with the exit status that says so, for wrong ones.
    """
    found: dict[str, object] = {"called_from": directory, "installed": installed}
    for option, value in pairs(words, allowed):
        if option in FLAGS:
            found[FLAGS[option]] = True
        else:
            name = VALUES[option]
            found[name] = directory / Path(str(value)).expanduser() if name in PATHS else value
    options = Options(**{**found, "port": port_of(found.get("port"))})  # type: ignore[arg-type]
    check(options, dict(pairs(words, allowed)))
    return options


def pairs(words: Sequence[str], allowed: Container[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each option with its value, which may be in one word with it."""
    rest = list(words)
    while rest:
        option, joined, value = rest.pop(0).partition("=")
        if option in FLAGS and option in allowed and not joined:
            yield option, None
        elif option in VALUES and option in allowed:
            if not joined and rest:
                value = rest.pop(0)
            if not value:
                raise Problem(f"{option} needs a value\ntry --help", MISUSE)
            yield option, value
        else:
            raise Problem(f"there is no option {option + joined + value}\ntry --help", MISUSE)


def port_of(text: object) -> int | None:
    """Return a port as a number."""
    if text is None:
        return None
    if not (str(text).isascii() and str(text).isdigit()) or len(str(text)) > LONGEST_PORT:
        raise Problem(f"--port must be a number, got {text}\ntry --help", MISUSE)
    return int(str(text))


def check(options: Options, given: dict[str, str | None]) -> None:
    """Raise Problem for values that cannot be meant."""
    for wanted, refused in ((each, f"--no-{each[2:]}") for each in given):
        if refused in given:
            raise Problem(f"give {wanted} or {refused}, not both\ntry --help", MISUSE)
    refuse_pairs(options)
    if options.wheelhouse and not options.wheelhouse.is_dir():
        raise Problem(f"--wheelhouse must be a directory, got {given['--wheelhouse']}\ntry --help", MISUSE)
    for name in ("bundle", "claim", "certificate", "private_key", "root_ca", "config"):
        path = getattr(options, name)
        if path is not None and not path.exists():
            raise Problem(f"there is no file {given['--' + name.replace('_', '-')]}\ntry --help", MISUSE)
    if options.prefix and not options.prefix.is_dir():
        raise Problem(f"--prefix must be a directory that is there, got {given['--prefix']}\ntry --help", MISUSE)


def refuse_pairs(options: Options) -> None:
    """Raise Problem for options that contradict each other."""
    pair: dict[str, object] = {"--certificate": options.certificate, "--private-key": options.private_key}
    own: dict[str, object] = {"--thing-name": options.thing_name, "--serial": options.serial}
    excluded: dict[str, tuple[object, dict[str, object]]] = {
        "--bundle": (options.bundle, {"--config": options.config, "--claim": options.claim}),
        "--claim": (options.claim, {"--config": options.config, **pair}),
        "--thing-name": (options.thing_name, {"--serial": options.serial}),
        "--first-boot": (options.first_boot, {"--bundle": options.bundle, "--config": options.config, **pair, **own}),
    }
    for option, (given, others) in excluded.items():
        for other, also in others.items():
            if given and also:
                raise Problem(f"give {option} or {other}, not both\ntry --help", MISUSE)
