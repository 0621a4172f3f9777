"""The network of a scene: a device and a cloud in a namespace each, a line between them, and counted traffic."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator

from defender_publisher.snapshot import Counters
from tests.namespaces import Namespace, ip

DEVICE_ADDRESS, CLOUD_ADDRESS = "10.9.0.1", "10.9.0.2"
UPLINK, CLOUD = "uplink", "cloud0"  # the two ends of the line
TRAFFIC, FAR_END = "traffic0", "traffic1"  # only the test sends here
NOBODYS_ADDRESS = "02:00:00:00:00:99"  # a frame for it arrives and is passed over
ETHERNET_HEADER, LARGEST_FRAME = 14, 1514  # bytes
EXPERIMENTAL = b"\x88\xb5"  # the EtherType that IEEE 802 leaves to experiments
HEADER = b"\xff" * 6 + b"\x02\0\0\0\0\1" + EXPERIMENTAL  # to everyone, from somebody
DRIP, DRIP_INTERVAL = 200, 0.1  # bytes, seconds
DNS_PORT = 53
IPV6_SWITCH = "/proc/sys/net/ipv6/conf/{}/disable_ipv6"


class Network:
    """Two namespaces with a line between them; `close` lets go of both, and with them of every interface."""

    def __init__(self) -> None:
        self.device, self.cloud = Namespace(), Namespace()
        try:
            self._lay_lines()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the namespaces, which the kernel removes with all that is in them."""
        self.device.close()
        self.cloud.close()

    def kernel(self) -> Counters:
        """Return what the kernel has counted on the traffic's interface, by netlink and not from /proc/net/dev."""
        with self.device.entered():
            command = ["ip", "-json", "-statistics", "link", "show", "dev", TRAFFIC]
            (link,) = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        received, sent = link["stats64"]["rx"], link["stats64"]["tx"]
        return Counters(received["bytes"], sent["bytes"], received["packets"], sent["packets"])

    @contextlib.contextmanager
    def drip(self) -> Iterator[None]:
        """Send and receive a little all the time until the block ends, as a device does that is in use."""
        ended = threading.Event()

        def drip() -> None:
            while not ended.wait(DRIP_INTERVAL):
                self.send(DRIP)
                self.send(DRIP // 2, FAR_END)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def send(self, count: int, interface: str = TRAFFIC) -> None:
        """Send `count` bytes from an end of the traffic's line, headers included, in frames of the usual size."""
        with self.device.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind((interface, 0))
            while count >= ETHERNET_HEADER:
                size = min(count, LARGEST_FRAME)
                if 0 < count - size < ETHERNET_HEADER:
                    size -= ETHERNET_HEADER
                raw.send(HEADER + bytes(size - ETHERNET_HEADER))
                count -= size

    def unplug(self) -> None:
        """Take the device's line down: sending fails at once."""
        with self.device.entered():
            ip("link", "set", UPLINK, "down")

    def plug_in(self) -> None:
        """Take the device's line up again."""
        with self.device.entered():
            ip("link", "set", UPLINK, "up")

    def swallow(self) -> None:
        """Lose every packet between device and cloud without a word, as a firewall or a dead line far away does."""
        for namespace, interface, address in self._neighbours():
            with namespace.entered():
                ip("neighbour", "replace", address, "dev", interface, "lladdr", NOBODYS_ADDRESS, "nud", "permanent")

    def deliver(self) -> None:
        """Let packets through again."""
        for namespace, interface, address in self._neighbours():
            with namespace.entered():
                ip("neighbour", "delete", address, "dev", interface)

    def listen(self, port: int) -> socket.socket:
        """Return a TCP socket that listens in the cloud."""
        with self.cloud.entered():
            return socket.create_server((CLOUD_ADDRESS, port))

    @contextlib.contextmanager
    def name_server(self, name: str) -> Iterator[NameServer]:
        """Answer the device's DNS queries from the cloud until the block ends: `name` is the cloud's."""
        with self.cloud.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((CLOUD_ADDRESS, DNS_PORT))
        server = NameServer(sock, {name: CLOUD_ADDRESS})
        try:
            yield server
        finally:
            server.close()

    def _lay_lines(self) -> None:
        with self.device.entered():
            _forbid_chatter()
            ip("link", "set", "lo", "up")
            ip("link", "add", TRAFFIC, "type", "veth", "peer", "name", FAR_END)
            ip("link", "set", TRAFFIC, "up")
            ip("link", "set", FAR_END, "up")
        with self.cloud.entered():
            _forbid_chatter()
            ip("link", "set", "lo", "up")
            descriptor = f"/proc/self/fd/{self.device.descriptor}"
            peer = ["peer", "name", UPLINK, "netns", descriptor]
            subprocess.run(
                ["ip", "link", "add", CLOUD, "type", "veth", *peer],
                check=True,
                capture_output=True,
                pass_fds=[self.device.descriptor],
            )
            ip("address", "add", f"{CLOUD_ADDRESS}/24", "dev", CLOUD)
            ip("link", "set", CLOUD, "up")
        with self.device.entered():
            ip("address", "add", f"{DEVICE_ADDRESS}/24", "dev", UPLINK)
            ip("link", "set", UPLINK, "up")

    def _neighbours(self) -> tuple[tuple[Namespace, str, str], ...]:
        return (self.device, UPLINK, CLOUD_ADDRESS), (self.cloud, CLOUD, DEVICE_ADDRESS)


def _forbid_chatter() -> None:
    """Keep the kernel from sending IPv6 discovery over interfaces whose every byte is accounted for."""
    for scope in ("all", "default"):
        with contextlib.suppress(FileNotFoundError), open(IPV6_SWITCH.format(scope), "w") as file:
            file.write("1")


class NameServer:
    """A DNS server that knows a few addresses; `silent` makes it take queries and answer none."""

    def __init__(self, sock: socket.socket, names: dict[str, str]) -> None:
        self.silent = False
        self._sock, self._names = sock, names
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # which wakes the thread, and is refused for a socket without peer
        self._thread.join()
        self._sock.close()

    def _serve(self) -> None:
        while True:
            query, client = self._sock.recvfrom(512)
            if not query:
                return
            if not self.silent:
                self._sock.sendto(answer_query(query, self._names), client)


def answer_query(query: bytes, names: dict[str, str]) -> bytes:
    """Answer a DNS query for one name: its address (A), nothing (any other type), or that there is no such name."""
    labels, position = [], 12
    while query[position]:
        labels.append(query[position + 1 : position + 1 + query[position]].decode())
        position += 1 + query[position]
    kind, _ = struct.unpack_from("!HH", query, position + 1)
    address = names.get(".".join(labels).lower())
    found = address is not None and kind == 1
    code = 0 if address is not None else 3
    header = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, int(found), 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, 1, 1, 0, 4) + ipaddress.ip_address(str(address)).packed if found else b""
    return header + query[12 : position + 5] + record
