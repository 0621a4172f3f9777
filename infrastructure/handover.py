"""The bundle of each thing: its certificate is fetched and put beside its key, with all else that its device needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from infrastructure.account import Account, found
from infrastructure.bundles import write_bundle
from infrastructure.deployed import DeployedThing
from infrastructure.drift import DELETED
from infrastructure.errors import DeployError
from infrastructure.fleet import Fleet
from infrastructure.keys import KeyStore
from infrastructure.pacing import paced
from infrastructure.private_file import is_directory

Result = TypeVar("Result")

FETCHES = 8.0  # DescribeCertificate a second, of which AWS takes 10 in an account


@dataclass(frozen=True)
class Handover:
    """What there is for the devices."""

    written: tuple[Path, ...]  # bundles that are new, or other than before
    elsewhere: tuple[str, ...]  # things whose keys are not here
    problems: tuple[DeployError, ...] = ()  # each with one thing's files or certificate


def hand_over(
    fleet: Fleet,
    store: KeyStore,
    wanted: Sequence[str],
    device_config: Mapping[str, Any],
    roots: Path,
) -> Handover:
    """Write the bundles of the things whose keys are here; what is wrong with one thing holds up no other."""
    there = [fleet.deployed.things[name] for name in wanted if name in fleet.deployed.things]
    things = [thing for thing in there if thing.certificate_id]
    problems: dict[str, DeployError] = {}
    unsettled = [thing for thing in things if not _is_settled(store, thing)]
    elsewhere = _settle(fleet, store, unsettled, problems)
    here = [thing.name for thing in things if thing.name not in {*elsewhere, *problems}]
    written = [
        path
        for name in here
        if (path := _tried(problems, name, write_bundle, store, name, fleet.account.endpoint, device_config, roots))
    ]
    return Handover(tuple(written), tuple(sorted(elsewhere)), tuple(problems.values()))


def _is_settled(store: KeyStore, thing: DeployedThing) -> bool:
    """Tell whether there is nothing to fetch; files that are no good are told of when something is put beside them."""
    return _tried({}, thing.name, store.settled, thing.name, thing.certificate_id) or False


def _settle(
    fleet: Fleet, store: KeyStore, things: Iterable[DeployedThing], problems: dict[str, DeployError]
) -> list[str]:
    """Put certificates beside their keys; return the things whose keys are not here."""
    kept: list[DeployedThing] = []
    elsewhere: list[str] = []
    for thing in things:  # only where there is a key at all is there something to fetch for
        if _tried(problems, thing.name, is_directory, store.directory / thing.name):
            kept.append(thing)
        elif thing.name not in problems:
            elsewhere.append(thing.name)
    if kept:
        with fleet.screen.bar("certificates", len(kept)) as bar:
            for thing, pem in paced(lambda thing: _fetch(fleet.account, thing), kept, FETCHES):
                if pem is None:
                    problems[thing.name] = DeployError(f"{thing.name}: {DELETED}")
                elif _tried(problems, thing.name, store.settle, thing.name, pem, thing.request):
                    bar.step(f"{thing.name} fetched")
                elif thing.name not in problems:
                    bar.step(f"{thing.name} has its key on another machine")
                    elsewhere.append(thing.name)
    return elsewhere


def _fetch(account: Account, thing: DeployedThing) -> str | None:
    """Return a thing's certificate (PEM), None if it was deleted by hand."""
    answer = found(account.iot.describe_certificate, certificateId=thing.certificate_id)
    return str(answer["certificateDescription"]["certificatePem"]) if answer else None


def _tried(problems: dict[str, DeployError], thing: str, work: Callable[..., Result], *arguments: Any) -> Result | None:
    """Return what some work returns; None where it fails, which is kept for the thing."""
    try:
        return work(*arguments)
    except DeployError as error:
        problems[thing] = error
        return None
