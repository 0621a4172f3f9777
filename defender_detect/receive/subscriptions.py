"""The subscriptions of the built-in broker: a tree of topic levels, so that a message looks at no foreign filter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

Subscriber = TypeVar("Subscriber")


class _Level(Generic[Subscriber]):
    """What is subscribed at one level of a topic, and what is below it."""

    __slots__ = ("below", "here")

    def __init__(self) -> None:
        self.below: dict[str, _Level[Subscriber]] = {}
        self.here: dict[Subscriber, None] = {}  # in the order of their coming


class Subscriptions(Generic[Subscriber]):
    """Who asked for which topics."""

    def __init__(self) -> None:
        self._root: _Level[Subscriber] = _Level()

    def add(self, topic_filter: str, subscriber: Subscriber) -> None:
        """Remember a filter, which must be a valid one."""
        level = self._root
        for name in topic_filter.split("/"):
            level = level.below.setdefault(name, _Level())
        level.here[subscriber] = None

    def remove(self, topic_filter: str, subscriber: Subscriber) -> None:
        """Forget a filter, and the levels that nobody asks for any longer."""
        path = [self._root]
        names = topic_filter.split("/")
        for name in names:
            if name not in path[-1].below:
                return
            path.append(path[-1].below[name])
        path[-1].here.pop(subscriber, None)
        for above, name, level in reversed(list(zip(path, names, path[1:]))):
            if level.here or level.below:
                return
            del above.below[name]

    def find(self, topic: str) -> list[Subscriber]:
        """Return who asked for a topic, each once however many of its filters match."""
        return list(dict.fromkeys(_find(self._root, topic.split("/"), 0)))


def _find(level: _Level[Subscriber], names: list[str], depth: int) -> Iterator[Subscriber]:
    below = level.below
    hidden = depth == 0 and names[0].startswith("$")  # MQTT 4.7.2: a wildcard in the first level means no $ topic
    if "#" in below and not hidden:  # which means the level above it, too
        yield from below["#"].here
    if depth == len(names):
        yield from level.here
        return
    for name in (names[depth],) if hidden else (names[depth], "+"):
        if name in below:
            yield from _find(below[name], names, depth + 1)
