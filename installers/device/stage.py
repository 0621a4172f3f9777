"""The stage: what etc is going to hold, gathered and judged before anything is put in place."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass

from bundle import CLAIM, read_bundle
from certificate import is_newer
from claim import CLAIM_PAIR, PAIR, is_by_claim, prepare
from configuration import CONFIG, compose, parse, section
from credentials import CERTIFICATE, KEY, PATHS, source_of
from etc import read_kept, write_stage
from files import read_file
from identity import answer, identity_of, take_identity, take_name
from problem import Problem

GIVEN = (  # options
    "bundle", "claim", "config", "endpoint", "thing_name", "serial", "certificate", "private_key", "root_ca", "port",
)  # fmt: skip
SCHEMA = "../current/configs/schema.json"  # as seen from the configuration, for editors


@dataclass(frozen=True)
class Stage:
    """What there was, what was given, and what etc is going to hold of both."""

    kept: dict[str, bytes]
    given: dict[str, bytes]
    files: dict[str, bytes]
    renewed: bool = False  # certificate and key are newer ones for the same thing, and take the place of those there


def stage_files(arguments: argparse.Namespace) -> str:
    """Gather configuration, certificate, key and roots in a directory of their own, as they will be in etc."""
    stage = gather(arguments)
    found = describe(stage, arguments)
    if not arguments.dry_run:
        write_stage(arguments.into, stage.files)
    return found


def gather(arguments: argparse.Namespace) -> Stage:
    """Return what etc is going to hold; nothing is written."""
    kept, given = read_kept(arguments), read_given(arguments)
    if arguments.claim and set(kept) >= PAIR:
        return beside_identity(kept, given, arguments)
    if not kept or arguments.replace or arguments.claim:
        return Stage(kept, given, dict(given))
    files = {**kept, **beside(kept, given)}
    if not renews(kept, given):
        return Stage(kept, given, files)
    for name in (CERTIFICATE, KEY):
        files[name] = given[name]
        files.pop(f"{name}.new", None)
    return Stage(kept, given, files, renewed=True)


def beside_identity(kept: dict[str, bytes], given: dict[str, bytes], arguments: argparse.Namespace) -> Stage:
    """Return what etc is going to hold where a claim is given to a device that has its certificate: that stays."""
    given = {**given, CONFIG: compose(take_name(parse(given[CONFIG], CONFIG), parse(kept[CONFIG], CONFIG)))}
    replaced = {name for name in CLAIM_PAIR if name in kept and arguments.replace}  # not one that was forgotten
    given = {name: content for name, content in given.items() if name not in CLAIM_PAIR - replaced}
    if arguments.replace:
        return Stage(kept, given, {**kept, **given})
    return Stage(kept, given, {**kept, **beside(kept, given)})


def renews(kept: dict[str, bytes], given: dict[str, bytes]) -> bool:
    """Whether what was given is a newer certificate with its key, for the thing and the endpoint that there are."""
    if not {CERTIFICATE, KEY} <= set(kept) & set(given) or identity_of(kept) != identity_of(given):
        return False
    return is_newer(given[CERTIFICATE], kept[CERTIFICATE])


def read_given(arguments: argparse.Namespace) -> dict[str, bytes]:
    """Return what was given this time, completed from what is there; raises Problem for what is still missing."""
    files: dict[str, bytes] = {}
    origin, carried_in = arguments.etc, True
    by_claim = is_by_claim(arguments)
    if arguments.claim or arguments.bundle:
        carried = arguments.claim or arguments.bundle
        files = read_bundle(carried, CLAIM) if arguments.claim else read_bundle(carried)
        config = parse(files[CONFIG], f"{carried}: {CONFIG}")
    else:
        there = arguments.etc / CONFIG
        identity = parse(read_file(there), str(there)) if there.exists() and not arguments.config else {}
        base = arguments.config or arguments.template
        origin = arguments.etc if identity else base.parent
        carried_in = bool(identity or arguments.config)
        config = take_identity(parse(read_file(base), str(base)), identity)
    if by_claim:
        carried_in = prepare(config, arguments)
    elif arguments.first_boot:
        raise Problem("missing: --claim FILE; --first-boot is for an image whose devices ask for their certificates", 2)
    agent = section(config, "agent")
    authentication = section(agent, "authentication")
    answer(arguments, agent, authentication, carried_in)
    missing = []
    for key, name in PATHS.items():
        if by_claim and name in PAIR:
            continue
        path = source_of(arguments, key, authentication.get(key), origin, name in files)
        if path is not None and not (arguments.dry_run and not os.access(path, os.R_OK)):
            files[name] = read_file(path)
        if name in files or path is not None:
            authentication[key] = name
        elif key != "root_ca":
            missing.append(f"--{key.replace('_', '-')} FILE")
    if missing:
        raise Problem(f"missing: {', '.join(missing)}; or everything at once by --bundle FILE", 2)
    if "state_directory" not in agent and arguments.state_directory:
        agent["state_directory"] = arguments.state_directory
    if "logfile" not in agent and arguments.logfile:
        agent["logfile"] = arguments.logfile
    if "$schema" in config:
        config["$schema"] = SCHEMA
    files[CONFIG] = compose(config)
    return files


def beside(kept: dict[str, bytes], given: dict[str, bytes]) -> dict[str, bytes]:
    """Return what was given and is not what is kept, to be put beside it as `.new`, or in the place of what is lost."""
    return {
        name + ".new" * (name in kept): content
        for name, content in given.items()
        if not same(name, kept.get(name), content)
    }


def same(name: str, one: bytes | None, other: bytes) -> bool:
    """Whether two contents are the same; configurations are whatever their spacing and the order of their keys."""
    return one == other or (name == CONFIG and one is not None and parse(one, name) == parse(other, name))


def describe(stage: Stage, arguments: argparse.Namespace) -> str:
    """Return the line about identity; raises Problem for a bundle that is another thing's."""
    mine, theirs = (identity_of(each) if each else None for each in (stage.kept, stage.given))
    if not set(stage.kept) >= PAIR and is_by_claim(arguments):
        mine = None  # it is nobody yet
    if mine and theirs and mine[0] != theirs[0] and not arguments.replace:
        raise Problem(
            f"this device is {mine[0]}, and what was given is for {theirs[0]}; --replace lets it become that one"
        )
    name, endpoint = identity_of(stage.files)
    origin = arguments.bundle or arguments.claim or arguments.config or "you"
    kept = stage.kept and not arguments.replace and (mine or not arguments.claim)
    from_where = "kept" if kept else f"from {origin}"
    renewed = f", with the newer certificate and key from {origin}" if stage.renewed else ""
    new = [each for each in stage.files if each.endswith(".new")]
    what = "what was given" if any(getattr(arguments, each) for each in GIVEN) else "a new default"
    aside = f"; {what} is in {', '.join(new)} (--replace takes it over)" if new else ""
    return f"{name} at {endpoint}, {from_where}{renewed}{aside}"
