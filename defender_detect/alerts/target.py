"""A target of alerts as the configuration has it: its settings are the fields, and `open` makes what sends.

Each target is one module with a struct and its sink, and one row in `defender_detect.alerts.targets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import msgspec

from defender_detect.alerts.secret import Secret

if TYPE_CHECKING:
    from defender_detect.alerts.followers import Follower
    from defender_detect.evaluate.alarms import Event

T = TypeVar("T", bound="Target")
PATHS = ("root_ca",)  # the settings that are paths, beside secrets
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

    def in_directory(self: T, directory: Path) -> T:
        """Return the target with paths that start at the configuration's directory."""
        given = {key: getattr(self, key) for key in self.__struct_fields__}
        return msgspec.structs.replace(self, **{key: _placed(key, value, directory) for key, value in given.items()})

    @property
    def topics(self) -> Mapping[str, frozenset[str]]:
        """The topics that are published on, each with the names of those who may hear them."""
        return {}


def _placed(key: str, value: Any, directory: Path) -> Any:
    if isinstance(value, Secret):
        return value.in_directory(directory)
    if isinstance(value, dict):
        return {name: _placed("", each, directory) for name, each in value.items()}
    return str(directory / Path(value).expanduser()) if key in PATHS and value is not None else value
