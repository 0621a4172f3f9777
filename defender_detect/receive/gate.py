"""The gate of the built-in broker: who a client is by its certificate, and what that one may send, ask for and hear.

Every message passes here, a will and what was left behind included. What a client says of itself counts for nothing.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from defender_daemon.dates import seconds_of
from defender_detect.receive.limits import Limits
from device_defender.metrics import is_thing_name


@dataclass(frozen=True)
class Peer:
    """Who is at the other end of a connection, by its certificate: the thing in the common name, or Detect."""

    name: str  # the common name; empty if there is none, or more than one
    serial: int  # of the certificate
    is_detect: bool = False  # shows Detect's own certificate: it deals with all things
    validity: tuple[float, float] | None = None  # of the certificate, in seconds since the epoch
    unit: str = ""  # the organizational unit; empty if there is none, or more than one
    certificate: bytes = field(default=b"", repr=False, compare=False)  # DER

    @classmethod
    def of(cls, connection: ssl.SSLObject, own_certificate: bytes) -> Peer:
        """Return who shows its certificate on a connection, which the TLS library has verified."""
        certificate: Any = connection.getpeercert() or {}
        serial, raw = int(certificate.get("serialNumber", "0"), 16), connection.getpeercert(True) or b""
        name, unit = _only(certificate, "commonName"), _only(certificate, "organizationalUnitName")
        return cls(name, serial, raw == own_certificate, _validity_of(certificate), unit, raw)

    @property
    def account(self) -> tuple[bool, object]:
        """Who shares the limits: all certificates of a thing, so that a new one brings no new share."""
        return self.is_detect, self.name or self.serial

    def __str__(self) -> str:
        return f"{self.name[:128]!a} (certificate {self.serial:X})"


def _only(certificate: Mapping[str, Any], field_name: str) -> str:
    """Return a field of the subject; empty if there is none, or more than one."""
    found = [value for part in certificate.get("subject", ()) for key, value in part if key == field_name]
    return found[0] if len(found) == 1 else ""


def _validity_of(certificate: Mapping[str, Any]) -> tuple[float, float] | None:
    try:
        return seconds_of(str(certificate.get("notBefore"))), seconds_of(str(certificate.get("notAfter")))
    except ValueError:
        return None


@dataclass(frozen=True)
class Gate:
    """What each client may do; `alerts` are the topics that Detect alerts on, with the names of who may hear them.

    `replies` are reserved filters that are no thing's: what comes there is for the connection that asked.
    """

    alerts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    replies: frozenset[str] = frozenset()

    def may_publish(self, peer: Peer, topic: str) -> bool:
        """Tell whether a client may publish to a topic, or have its will published there."""
        if not self._is_allowed(topic) or "+" in topic or "#" in topic:
            return False
        return peer.is_detect or (is_own(peer, topic) and topic not in self.alerts)

    def may_subscribe(self, peer: Peer, topic_filter: str) -> bool:
        """Tell whether a client may ask for what a filter names; for alerts see `may_receive`."""
        if not self._is_allowed(topic_filter) or not is_filter(topic_filter):
            return False
        return peer.is_detect or is_own(peer, topic_filter) or topic_filter in self.replies

    def may_receive(self, peer: Peer, topic: str) -> bool:
        """Tell whether a message on a topic, whose filter the client was granted, is for it."""
        return peer.is_detect or topic not in self.alerts or peer.name in self.alerts[topic]

    def _is_allowed(self, topic: str) -> bool:
        """Tell whether a topic or filter is one for AWS: not empty, not too long or deep, nothing that upsets a log."""
        limits = self.limits
        return 0 < len(topic.encode()) <= limits.topic and topic.count("/") <= limits.slashes and topic.isprintable()


def is_own(peer: Peer, topic: str) -> bool:
    """Tell whether a topic or filter is no reserved one (`$...`), or one of the thing itself.

    As in the recommended device policy. A wildcard in the thing's place names other things too, and is no thing's name.
    """
    if not topic.startswith("$"):
        return True
    return is_thing_name(peer.name) and topic.startswith(f"$aws/things/{peer.name}/")


def is_filter(text: str) -> bool:
    """Tell whether the wildcards of a filter stand where MQTT wants them: alone in a level, `#` in the last one."""
    *levels, last = text.split("/")
    return all(level == "+" or not set(level) & {"+", "#"} for level in levels) and (
        last in ("+", "#") or not set(last) & {"+", "#"}
    )
