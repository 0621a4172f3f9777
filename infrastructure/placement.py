"""Which stack each thing is in; a thing stays where it was first put, or it would collide with itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import count

# A template may have 51,200 bytes where it is sent inline, which needs no bucket. 37 things with the longest names and
# the longest prefix fit; 35 leave them 98 bytes each for what may come, since a full stack cannot shed things.
THINGS_PER_STACK = 35


def place(wanted: Iterable[str], placed: Mapping[str, int], most: int = THINGS_PER_STACK) -> dict[str, int]:
    """Return the stack (from 1) of each thing wanted, given where things are; the first with room takes a new one."""
    wanted = list(wanted)
    staying = {thing: placed[thing] for thing in wanted if thing in placed}
    # What is about to go counts as well: it is in the stack until the update, and may be wanted again.
    rooms = _rooms(Counter(placed.values()), most)
    new = {thing: next(rooms) for thing in wanted if thing not in placed}
    return {**staying, **new}


def _rooms(used: Counter[int], most: int) -> Iterator[int]:
    """Yield a stack's number for each room that is free, without end."""
    for number in count(1):
        for _ in range(most - used[number]):
            yield number
