"""The intruder: a TCP port that listens although no profile expects it, until the alarm comes."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Collection, Iterator
from math import inf

from demo.programs import say
from demo.settings import INTERVAL
from demo.witness import Witness

LOOPBACK = "127.0.0.1"
PATIENCE = INTERVAL * 1.6  # seconds, in which the next report comes


def provoke_alarm(witness: Witness, normal: Collection[int], deadline: float | None, adopt: Callable[[], None]) -> None:
    """Open an unexpected port once this machine is known to be normal, and close it when the alarm has come."""
    if not wait_for_normal(witness, deadline, adopt):
        return
    with unexpected_port(normal) as port:
        say(f"opens TCP port {port} on {LOOPBACK}, which is not normal here: the next report shows it")
        witness.came = witness.wait_for(lambda: witness.is_in_alarm, deadline)
    if not witness.came:
        return
    say(f"there is the alarm; port {port} is closed again")
    witness.cleared = wait_for_normal(witness, deadline, adopt)
    if witness.cleared:
        say("the alarm is cleared: all is normal again")


def wait_for_normal(witness: Witness, deadline: float | None, adopt: Callable[[], None]) -> bool:
    """Wait until this machine has reported and no alarm is on; `adopt` the ports of other programs that hold it."""
    while True:
        now = time.monotonic()
        if witness.wait_for(lambda: witness.accepted and not witness.is_in_alarm, min(deadline or inf, now + PATIENCE)):
            return True
        if deadline and time.monotonic() >= deadline:
            return False
        if witness.is_in_alarm:
            adopt()


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
