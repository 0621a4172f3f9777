"""The growth: how much traffic went over a device's interfaces between two looks at their counters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from defender_publisher.errors import CollectError
from defender_publisher.snapshot import Counters

ZERO = Counters(0, 0, 0, 0)
WRAP = 2**32  # where counters begin again on 32-bit kernels, and in drivers that count so elsewhere
# Bytes that a packet can have: the smallest IP header alone, and the most that the kernel makes one of (BIG TCP).
SMALLEST_PACKET, LARGEST_PACKET = 20, 2**19


def growth(
    before: Mapping[str, Counters], now: Mapping[str, Counters], names_before: Mapping[str, str] | None = None
) -> Counters | None:
    """Return how much all interfaces together counted since `before` (bytes and packets), None where there is none.

    `names_before` says what an interface was called then (default: the same); one that is not in it is new and counts
    from zero. One that is gone has nothing more to tell. Raises CollectError where it is unknown how much one counted:
    a sum without it would be a number that nobody can trust.
    """
    names = {name: name for name in now} if names_before is None else names_before
    grown = [_grown(name, before.get(names.get(name, ""), ZERO), counters) for name, counters in now.items()]
    return Counters(*map(sum, zip(*grown))) if grown else None


def names_before(before: Mapping[str, str], now: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return what interfaces were called when the kernel knew interfaces as in `before`; without those made since.

    The maps lead from names to identities, a kernel's index of an interface each, with that of the interface at its
    other end if there is one (`7`, `7@8`). One that nobody knew is taken for that of its name.
    """
    by_index = {_index(identity): name for name, identity in before.items()}
    found = {}
    for name in names:
        identity = now.get(name)
        then = name if identity is None or name not in before else None
        if identity is not None and _index(identity) in by_index:
            then = by_index[_index(identity)]
            then = then if _may_be_one(before[then], identity) else None
        if then is not None:
            found[name] = then
    return found


def _index(identity: str) -> str:
    return identity.partition("@")[0]


def _may_be_one(one: str, other: str) -> bool:
    """Whether two identities of one index can be one interface's; not every way to look tells the other end."""
    return one == other or not ("@" in one and "@" in other)


def _grown(name: str, before: Counters, now: Counters) -> Counters:
    """Return how much an interface counted; raises CollectError if its counters fell, and not in a known way."""
    changes = [after - earlier for earlier, after in zip(before, now)]
    if min(changes) >= 0:
        return Counters(*changes)
    if max(changes) <= 0:
        return now  # it was made again, as by a modem that redials, or its driver began at zero
    incoming = _unwrapped(before.bytes_in, before.packets_in, now.bytes_in, now.packets_in)
    outgoing = _unwrapped(before.bytes_out, before.packets_out, now.bytes_out, now.packets_out)
    if incoming is None or outgoing is None:
        raise CollectError(f"the counters of {name} fell, from {tuple(before)} to {tuple(now)}: it is not known why")
    return Counters(incoming[0], outgoing[0], incoming[1], outgoing[1])


def _unwrapped(bytes_before: int, packets_before: int, bytes_now: int, packets_now: int) -> tuple[int, int] | None:
    """Return the bytes and packets of one direction; None where one fell and no wrap can be why."""
    count, packets = _risen(bytes_before, bytes_now), _risen(packets_before, packets_now)
    fell = bytes_now < bytes_before or packets_now < packets_before
    if fell and not packets * SMALLEST_PACKET <= count <= packets * LARGEST_PACKET:
        return None
    return count, packets


def _risen(before: int, now: int) -> int:
    return now - before + (WRAP if now < before < WRAP else 0)
