"""The names of the interfaces that this machine's addresses are on, read once and again only after a change."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterable, Mapping

from defender_daemon.text import name_of
from defender_publisher.collectors import netlink, procfs, rtnetlink
from defender_publisher.errors import CollectError

logger = logging.getLogger("defender_publisher")

Names = Mapping[str, str]  # interface by address; "" where it is unknown


class InterfaceNames:
    """The interface of every address, current at every look; safe to use from several threads.

    Of the own namespace the kernel says when something changed. A host's, which a container sees in a /proc, and one in
    a sandbox without netlink are read at every look.
    """

    def __init__(self, procfs_path: str = procfs.OWN_PROCFS) -> None:
        self._procfs_path = procfs_path
        self._lock = threading.Lock()
        self._names: Names | None = None
        self._changes: rtnetlink.Changes | None = None

    def current(self) -> Names:
        """Return the interfaces as they are now; raises CollectError, OSError or psutil.Error."""
        with self._lock:
            if self._names is None or self._may_have_changed():
                self._names = None  # should reading fail
                self._names = interface_names(self._procfs_path)
            return self._names

    def _may_have_changed(self) -> bool:
        """Tell whether to read again; the first time that is asked, the kernel is asked to tell from now on."""
        try:
            if self._changes is not None:
                return self._changes.happened()
            if procfs.is_own(self._procfs_path) and netlink.available():
                self._changes = rtnetlink.Changes()
        except OSError as error:
            logger.debug("the kernel does not tell about changes of interfaces: %s", error)
            self._changes = None
        return True


def interface_names(procfs_path: str = procfs.OWN_PROCFS) -> dict[str, str]:
    """Return the name of the interface that has an address, for every address (without zone); raises CollectError."""
    return names_by_address(read_addresses(procfs_path))


def read_addresses(procfs_path: str = procfs.OWN_PROCFS) -> list[tuple[str, str]]:
    """Return every address of this machine, or of the host's whose /proc that is, and its interface."""
    if procfs.is_own(procfs_path) and netlink.available():
        try:
            return rtnetlink.read_addresses()
        except CollectError as error:
            logger.debug("interface addresses are read from %s, because of %s", procfs_path, error)
    if procfs.has_tables(procfs_path):
        from defender_publisher.collectors import fib  # here, because the own machine's are read without

        return fib.read_addresses(procfs_path)
    return _psutil_addresses()


def names_by_address(addresses: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return interfaces by address; an address that several interfaces have maps to "", for unknown."""
    names: dict[str, str] = {}
    for address, name in addresses:
        names[address] = name if names.get(address, name) == name else ""
    return names


def without_zone(address: str) -> str:
    """Return an address without the `%eth0` that says on which link a link-local one is."""
    return address.partition("%")[0]


def _psutil_addresses() -> list[tuple[str, str]]:
    import psutil  # here, because Linux does without it, and it costs start-up time and memory

    return [
        (without_zone(address.address), name_of(name))
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
    ]
