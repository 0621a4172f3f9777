"""The bundle of each thing: its certificate is fetched and put beside its key, with all else that its device needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrastructure.account import Account
from infrastructure.bundles import write_bundle
from infrastructure.deployed import Deployed, DeployedThing
from infrastructure.keys import KeyStore
from infrastructure.pacing import paced
from infrastructure.screen import Screen

FETCHES = 8.0  # DescribeCertificate a second, of which AWS takes 10 in an account


@dataclass(frozen=True)
class Handover:
    """What there is for the devices."""

    written: tuple[Path, ...]  # bundles that are new, or other than before
    elsewhere: tuple[str, ...]  # things whose keys are not here


def hand_over(
    account: Account,
    store: KeyStore,
    deployed: Deployed,
    wanted: Sequence[str],
    device_config: Mapping[str, Any],
    roots: Path,
    screen: Screen,
) -> Handover:
    """Write the bundles of the things whose keys are here; raises DeployError."""
    there = [deployed.things[name] for name in wanted if name in deployed.things]
    things = [thing for thing in there if thing.certificate_id]
    unsettled = [thing for thing in things if not store.settled(thing.name, thing.certificate_id)]
    elsewhere = set(_settle(account, store, unsettled, screen))
    here = [thing.name for thing in things if thing.name not in elsewhere]
    paths = [write_bundle(store, name, account.endpoint, device_config, roots) for name in here]
    return Handover(tuple(path for path in paths if path is not None), tuple(sorted(elsewhere)))


def _settle(account: Account, store: KeyStore, things: Iterable[DeployedThing], screen: Screen) -> list[str]:
    """Put certificates beside their keys; return the things whose keys are not here."""
    kept: list[DeployedThing] = []
    elsewhere: list[DeployedThing] = []
    for thing in things:  # only where there is a key at all is there something to fetch for
        (kept if (store.directory / thing.name).is_dir() else elsewhere).append(thing)
    if kept:
        with screen.bar("certificates", len(kept)) as bar:
            fetched = paced(lambda thing: _fetch(account, thing), kept, FETCHES)
            for thing, pem in fetched:
                here = store.settle(thing.name, pem, thing.request)
                bar.step(f"{thing.name} {'fetched' if here else 'has its key on another machine'}")
                elsewhere += [] if here else [thing]
    return [thing.name for thing in elsewhere]


def _fetch(account: Account, thing: DeployedThing) -> str:
    answer = account.iot.describe_certificate(certificateId=thing.certificate_id)
    return str(answer["certificateDescription"]["certificatePem"])
