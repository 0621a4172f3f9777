"""Ports for tests: each is given once, and at the same time nobody else has it.

What is found by its port only would now and then be a stranger's, if the kernel chose the port: at another address, or
in a connection to somewhere else, it gives the same one again. Each worker of pytest-xdist has a share of its own.
"""

from __future__ import annotations

import itertools
import os
import random
import socket

from demo.ports import CHOSEN_HERE, is_free

SHARES = 16  # at least as many as there are workers
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SHARES
OWN = CHOSEN_HERE[WORKER::SHARES]

_numbers = itertools.cycle(random.sample(OWN, len(OWN)))  # two runs at the same time seldom try the same


def unused_port() -> int:
    """Return a port of loopback that no socket has, and that this process gives to nobody else for long."""
    return next(port for port in itertools.islice(_numbers, len(OWN)) if is_free(port))


def fill_queue(listener: socket.socket) -> list[socket.socket]:
    """Return connections that fill the queue of a listener with a backlog of 0, which drops every other SYN."""
    first = socket.create_connection(listener.getsockname())  # it is full with this one, and no sooner
    others = [socket.socket() for _ in range(3)]
    for each in others:
        each.setblocking(False)
        each.connect_ex(listener.getsockname())
    return [first, *others]
