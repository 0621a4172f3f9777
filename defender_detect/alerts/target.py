"""A target of alerts as the configuration has it: its settings are the fields, and `open` makes what sends.

Each target is one module with a struct and its sink, and one row in `defender_detect.alerts.targets`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from defender_detect.alerts.queue import Sink

Publish = Callable[[str, bytes], object]  # publishes a payload on a topic, or raises


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag=str.lower):
    """What an item of `detect.alerts` is; its `type` is the name of the class in lower case."""

    def open(self, publish: Publish) -> Sink | None:
        """Return what sends, None if nothing has to; raise AlertSettingError if that cannot be made here."""
        raise NotImplementedError

    @property
    def topics(self) -> Mapping[str, frozenset[str]]:
        """The topics that are published on, each with the names of those who may hear them."""
        return {}
