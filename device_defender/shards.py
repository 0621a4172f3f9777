"""Shards: the reports of a fleet on several topics, those of a thing always on the same one, for several receivers.

A topic has `{shard:16}` in it, which becomes a number from 0 to 15: CRC-32 of the thing's name in UTF-8, modulo 16.
Whoever publishes and whoever receives computes it alike, so that nothing has to be distributed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Optional
from zlib import crc32

LEAST, MOST = 2, 1000  # shards; a single one needs none, and each is a process
EXAMPLE = "{shard:16}"
_PLACE = re.compile(r"\{shard:([1-9][0-9]{0,3})\}")
_MEANT = re.compile(r"\{\s*shards?\b[^{}]*\}?", re.IGNORECASE)


def shard_of(thing_name: str, shards: int) -> int:
    """Return the shard of a thing, from 0: the same everywhere, for ever."""
    return crc32(thing_name.encode("utf-8", "surrogatepass")) % shards


def shards_of(topic: Optional[str]) -> Optional[int]:
    """Return how many shards a topic has, None for one that has none."""
    found = _PLACE.search(topic or "")
    return int(found[1]) if found else None


def with_shard(topic: str, shard: object) -> str:
    """Return a topic with a shard's number in its place."""
    return _PLACE.sub(str(shard), topic)


def topic_of(topic: str, thing_name: str) -> str:
    """Return the topic that a thing publishes on, its name and its shard filled in."""
    shards = shards_of(topic)
    sharded = topic if shards is None else with_shard(topic, shard_of(thing_name, shards))
    return sharded.replace("{thing_name}", thing_name)


def broken_rules(topic: str) -> Iterator[str]:
    """Yield what is wrong with the shards of a topic, each the end of a sentence that begins with its key."""
    meant, good = _MEANT.findall(topic), _PLACE.findall(topic)
    if len(meant) != len(good):
        yield f"must give the number of shards as in {EXAMPLE}"
    elif len(good) > 1:
        yield "must have only one {shard:N} in it"
    elif good and not LEAST <= int(good[0]) <= MOST:
        yield f"must have {LEAST} to {MOST} shards"
