"""What Detect remembers of one thing for all its behaviors: compact while it runs, and by name while it is kept."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from defender_detect.evaluate.alarms import NORMAL, State
from defender_detect.evaluate.windows import NO_HISTORY, History

Name = str  # of a behavior: its profile's name, "/" and its own, which have no "/"


class Memory(msgspec.Struct, frozen=True, gc=False):  # no work for the garbage collector: there are many of them
    """A thing's histories and alarms, each in the order of the behaviors that apply to the thing."""

    histories: tuple[History, ...]
    states: tuple[State, ...]

    def pack(self, names: Sequence[Name]) -> bytes:
        """Return it by the behaviors' names, so that it outlives a change of the profiles, without what is normal."""
        remembered = zip(names, self.histories, self.states)
        return ENCODER.encode(
            {name: (history, state) for name, history, state in remembered if history or state != NORMAL}
        )


ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(dict[str, tuple[bytes, State]])


def forget(names: Sequence[Name]) -> Memory:
    """Return what is remembered of a thing that has not reported yet."""
    return Memory((NO_HISTORY,) * len(names), (NORMAL,) * len(names))


def unpack(packed: bytes, names: Sequence[Name]) -> Memory:
    """Return what was packed, for the behaviors there are now; raise msgspec.DecodeError for anything else."""
    remembered = DECODER.decode(packed)
    entries = [remembered.get(name, (NO_HISTORY, NORMAL)) for name in names]
    states = tuple(NORMAL if state == NORMAL else state for _, state in entries)
    return Memory(tuple(History(history) for history, _ in entries), states)
