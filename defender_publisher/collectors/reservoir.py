"""A reservoir: a uniform sample of a stream whose length nobody knows before its end, in constant memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from math import log, log1p
from typing import Generic, TypeVar

T = TypeVar("T")

# What random() draws at least, beside 0 (which has no logarithm), and at most.
SMALLEST, BELOW_ONE = 2**-53, 1 - 2**-53


class Reservoir(Generic[T]):
    """Keeps `size` of the items that pass by, each as likely as any other; all of them without a size.

    Li's algorithm L (https://doi.org/10.1145/198429.198435) draws how many items to let pass untouched until the next
    one to keep: of 50,000 connections it looks at 720 to keep 100. What is let pass costs nothing but counting.
    """

    def __init__(self, size: int | None, draw: Callable[[], float] = random.random) -> None:
        self.kept: list[T] = []
        self.seen = 0
        self._size = size
        self._draw = draw  # seeding a generator of its own would take as long as reading 100 connections
        self._weight = 1.0
        self._next = -1  # the number of the next item to keep, once the reservoir is full

    @property
    def is_full(self) -> bool:
        """Whether another item can only take the place of one that is kept."""
        return self._size is not None and len(self.kept) >= self._size

    def fill(self, items: Iterable[T]) -> None:
        """Take items that all fit."""
        self.kept.extend(items)
        self.seen = len(self.kept)

    def begin(self, count: int, item: Callable[[int], T]) -> None:
        """Begin with `count` items that are at hand all at once, which costs a fraction of letting them pass by.

        The largest of the `size` smallest among `count` random keys, from which algorithm L goes on, is distributed as
        drawn here (order statistics of the uniform distribution).
        """
        if self._size is None or count <= self._size:
            return self.fill(map(item, range(count)))
        self.kept = [item(index) for index in random.sample(range(count), self._size)]
        self.seen = count
        self._weight = random.betavariate(self._size, count - self._size + 1)
        self._next = count - 1 + self._gap()
        return None

    def pass_by(self, count: int, item: Callable[[int], T]) -> None:
        """Let `count` items pass, of which `item(index)` gives those that are to be kept."""
        first = self.seen
        if not self.is_full:
            room = count if self._size is None else min(count, self._size - first)
            self.fill([item(index) for index in range(room)])
        self.seen = first + count
        if self.is_full:
            self._replace(first, item)

    def _replace(self, first: int, item: Callable[[int], T]) -> None:
        """Put items in random places, up to the last one seen."""
        kept, draw, size = self.kept, self._draw, len(self.kept)
        if self._next < 0:
            self._lower_weight()
            self._next = size - 1 + self._gap()
        while self._next < self.seen:
            kept[int(draw() * size)] = item(self._next - first)
            self._lower_weight()
            self._next += self._gap()

    def _lower_weight(self) -> None:
        self._weight *= (self._draw() or SMALLEST) ** (1 / len(self.kept))

    def _gap(self) -> int:
        """Draw how far it is to the next item to keep."""
        return int(log(self._draw() or SMALLEST) / log1p(-BELOW_ONE * self._weight)) + 1
