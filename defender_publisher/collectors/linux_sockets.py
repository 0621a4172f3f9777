"""The sockets of this machine on Linux: by netlink, and from /proc where that is refused."""

from __future__ import annotations

import logging
from collections.abc import Collection

from defender_publisher.collectors import inet_diag, procfs
from defender_publisher.collectors.netlink import SOCK_DIAG, Kernel, NetlinkError
from defender_publisher.collectors.table import SocketRow, Table

logger = logging.getLogger("defender_publisher")


class LinuxSockets:
    """Reads by netlink, and remembers for which protocols the kernel will never answer."""

    def __init__(self) -> None:
        self._refused: dict[str, str] = {}
        self._kernel = Kernel(SOCK_DIAG)

    def __call__(self, protocol: str, states: Collection[int], /) -> list[SocketRow]:
        """Return the sockets that are in one of the states (see `Reader`)."""
        return self._read(protocol, states, None).rows

    def sample(self, protocol: str, states: Collection[int], most: int) -> Table:
        """Return the same with at most `most` connections (see `SamplingReader`); from /proc all of them."""
        return self._read(protocol, states, most)

    def _read(self, protocol: str, states: Collection[int], most: int | None) -> Table:
        if protocol not in self._refused:
            try:
                return inet_diag.read_table(protocol, states, most, self._kernel)
            except NetlinkError as error:
                self._tell(protocol, error)
        return Table(procfs.read_rows(protocol, states))

    def _tell(self, protocol: str, error: NetlinkError) -> None:
        if error.permanent:
            self._refused[protocol] = str(error)
            logger.info("%s sockets are read from /proc, which is slower (%s)", protocol, error)
        else:
            logger.debug("this time %s sockets are read from /proc (%s)", protocol, error)
