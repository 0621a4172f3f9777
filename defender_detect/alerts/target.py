"""A target of alerts as the configuration has it: its settings are the fields, and `open` makes what sends.

Each target is one module with a struct and its sink, and one row in `defender_detect.alerts.targets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

import msgspec

if TYPE_CHECKING:
    from defender_detect.alerts.followers import Follower
    from defender_detect.evaluate.alarms import Event

GIVE_UP_AFTER = 24 * 3600.0  # seconds; older news is in the list of violations


class Publish(Protocol):
    """Publishes a payload on a topic, or raises; `retain` asks the broker to keep it."""

    def __call__(self, topic: str, payload: bytes, retain: bool = False) -> object:
        """Publish."""


class Sink(Protocol):
    """Where alerts go."""

    name: str  # for the log, without anything secret
    give_up_after: float  # seconds

    def send(self, event: Event) -> None:
        """Hand over an alert within a bounded time; raises AlertRefused if it will never be taken, else AlertError."""


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag=str.lower):
    """What an item of `detect.alerts` is; its `type` is the name of the class in lower case."""

    needs_retained: ClassVar[bool] = False  # whether the broker must keep messages, which the built-in one does not

    def open(self, publish: Publish) -> Sink | None:
        """Return what sends, None if nothing has to; raise AlertSettingError if that cannot be made here."""
        return None

    def follow(self, publish: Publish) -> Follower | None:
        """Return what shows which alarms are on, None if it only hears what happens; raise as `open` does."""
        return None

    @property
    def topics(self) -> Mapping[str, frozenset[str]]:
        """The topics that are published on, each with the names of those who may hear them."""
        return {}
