"""The intruder: a TCP port that listens although no profile expects it, until the alarm comes."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection, Iterator

from demo.programs import say
from demo.witness import Witness

LOOPBACK = "127.0.0.1"


def provoke_alarm(witness: Witness, normal: Collection[int], deadline: float | None) -> None:
    """Open an unexpected port once this machine is known to be normal, and close it when the alarm has come."""
    if not witness.wait_for(lambda: witness.accepted and not witness.is_in_alarm, deadline):
        return
    with unexpected_port(normal) as port:
        say(f"opens TCP port {port} on {LOOPBACK}, which is not normal here: the next report tells")
        witness.came = witness.wait_for(lambda: witness.is_in_alarm, deadline)
    if not witness.came:
        return
    say(f"there is the alarm; port {port} is closed again")
    witness.cleared = witness.wait_for(lambda: not witness.is_in_alarm, deadline)
    if witness.cleared:
        say("the alarm is cleared: all is normal again, and that is the whole story")


@contextlib.contextmanager
def unexpected_port(normal: Collection[int]) -> Iterator[int]:
    """Listen on a port that is not one of the normal ones; yield it."""
    with contextlib.ExitStack() as stack:
        while True:
            listening = stack.enter_context(socket.create_server((LOOPBACK, 0)))
            port = int(listening.getsockname()[1])
            if port not in normal:
                break
        yield port


def find_free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        return int(listening.getsockname()[1])
