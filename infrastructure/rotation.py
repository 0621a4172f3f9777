"""The wish that a device rotates its certificate by itself: a named shadow of its thing's, which its daemon hears."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from infrastructure.account import Account, found
from infrastructure.claim import provisioned_things
from infrastructure.fleet import Fleet
from infrastructure.pacing import paced
from infrastructure.registry import Registry

SHADOW = "rotation"
WISHES = 20.0  # UpdateThingShadow a second, of which AWS takes 400 in an account


@dataclass(frozen=True)
class Wish:
    """What a thing was asked for last, and whether it has done it."""

    thing: str
    asked: str = ""  # when; "" if never
    done: bool = False

    def __str__(self) -> str:
        if not self.asked:
            return f"{self.thing} was never asked"
        return f"{self.thing} was asked at {self.asked}, and {'has done it' if self.done else 'has not done it yet'}"


def split_rotations(fleet: Fleet, registry: Registry, things: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return those that get a new bundle, and those that rotate by themselves: they provisioned themselves."""
    own: Collection[str] = provisioned_things(fleet, registry)
    return tuple(each for each in things if each not in own), tuple(each for each in things if each in own)


def read_wishes(account: Account, things: Iterable[str]) -> list[Wish]:
    """Return what things were asked for last."""
    return [wish for _, wish in paced(lambda thing: _read(account, thing), things, WISHES)]


def ask(account: Account, things: Iterable[str], now: datetime | None = None) -> Iterator[str]:
    """Ask things to rotate, and yield each once it is asked."""
    at = f"{(now or datetime.now(timezone.utc)).astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    payload = json.dumps({"state": {"desired": {"rotate": at}}}).encode()
    client = account.client("iot-data")
    call = lambda thing: client.update_thing_shadow(thingName=thing, shadowName=SHADOW, payload=payload)  # noqa: E731
    yield from (thing for thing, _ in paced(call, things, WISHES))


def _read(account: Account, thing: str) -> Wish:
    answer = found(account.client("iot-data").get_thing_shadow, thingName=thing, shadowName=SHADOW)
    state: dict[str, Any] = json.load(answer.get("payload") or io.BytesIO(b"{}")).get("state", {}) if answer else {}
    desired, reported = (state.get(part, {}).get("rotate", "") for part in ("desired", "reported"))
    return Wish(thing, str(desired), done=bool(desired) and desired == reported)
