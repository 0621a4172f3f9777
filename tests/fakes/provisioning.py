"""AWS IoT's fleet provisioning, and the cloud's side of a rotation: a double that can lose answers.

It issues certificates for signing requests, registers them by a template whose hook may say no, lets in those that are
active, holds each to what its policy allows, and keeps a record of every byte that clients send.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from demo.authority import Authority
from tests.fakes.scripted_broker import CONNACK, PUBACK, SUBACK, ScriptedBroker, _send_message

CSR = "$aws/certificates/create-from-csr/json"
PROVISION = "$aws/provisioning-templates/{}/provision/json"
NOT_AUTHORIZED, REFUSED = 5, 0x80
PENDING, ACTIVE, INACTIVE = "PENDING_ACTIVATION", "ACTIVE", "INACTIVE"
DENIED = (403, "AccessDenied", "Access Denied")
INVALID_TOKEN = (400, "InvalidCertificateOwnershipToken", "Certificate ownership token is not valid.")
THROTTLED = (429, "Throttled", "Rate exceeded")
LOST = "lost"  # instead of a rejection: what is asked is done, and the connection breaks before the answer


@dataclass
class Certificate:
    """A certificate that was issued: whose it is once it is registered."""

    status: str
    key: bytes
    thing: str = ""


@dataclass
class Kept:
    """What the broker keeps beside its certificates."""

    tokens: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, float]] = field(default_factory=list)  # call, client ID, when (monotonic)
    parameters: list[dict[str, str]] = field(default_factory=list)
    committed: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # what no policy allows, in words
    traffic: bytearray = field(default_factory=bytearray)  # all that clients sent


class _Recorded:
    """A connection whose received bytes are kept."""

    def __init__(self, connection: ssl.SSLSocket, traffic: bytearray) -> None:
        self._connection = connection
        self._traffic = traffic
        peer = connection.getpeercert(True)
        self.peer = hashlib.sha256(peer).hexdigest() if peer else ""
        self.client_id = ""

    def recv(self, count: int) -> bytes:
        data = self._connection.recv(count)
        self._traffic += data
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class ProvisioningBroker(ScriptedBroker):
    """Fleet provisioning with one template and its rotation template.

    `next_answers` has for a call ("csr", "register", "commit") what happens to the next ones: a rejection, or LOST.
    """

    template, rotation_template = "fleet", "fleet-rotate"

    def __init__(
        self,
        directory: Path,
        authority: Authority,
        address: str = "localhost",
        listener: socket.socket | None = None,
    ) -> None:
        """Be AWS IoT at an address, where a `listener` may be that is in another network."""
        self.authority = authority
        self.claim = authority.issue("claim")
        self.claim_id = fingerprint(self.claim.certificate.read_text())
        self.claim_active = True
        self.certificates: dict[str, Certificate] = {}
        self.kept = Kept()
        self.next_answers: dict[str, list[Any]] = {"csr": [], "register": [], "commit": []}
        self.hook: Callable[[dict[str, str]], bool] = lambda parameters: True
        self.name_of: Callable[[dict[str, str]], str] = lambda parameters: parameters["ThingName"]
        self.shadow: dict[str, Any] | None = None
        files = authority.issue(address, [address])
        super().__init__(
            files.certificate, files.private_key, authority.certificate, wrap=self._recorded, listener=listener
        )

    def of(self, thing: str, status: str = ACTIVE) -> list[str]:
        """Return the certificates of a thing with this status."""
        return [name for name, each in self.certificates.items() if (each.thing, each.status) == (thing, status)]

    @property
    def keys(self) -> int:
        """How many different keys certificates were asked for."""
        return len({each.key for each in self.certificates.values()})

    def expire(self) -> None:
        """Delete what was not registered within its hour, as AWS does."""
        for name in [name for name, each in self.certificates.items() if each.status == PENDING]:
            del self.certificates[name]

    def wish(self, when: str) -> None:
        """Wish for a rotation in the shadow."""
        self.shadow = {"state": {"desired": {"rotate": when}, **(self.shadow or {}).get("state", {})}}
        self.shadow["state"]["desired"] = {"rotate": when}

    def _recorded(self, connection: ssl.SSLSocket) -> _Recorded:
        return _Recorded(connection, self.kept.traffic)

    def _connect(self, connection: Any, body: bytes) -> bool:
        (length,) = struct.unpack_from("!H", body, 10)
        connection.client_id = body[12 : 12 + length].decode()
        if self._lets_in(connection):
            return super()._connect(connection, body)
        self.kept.refused.append(f"connect as {connection.client_id}")
        connection.sendall(bytes([CONNACK << 4, 2, 0, NOT_AUTHORIZED]))
        return False

    def _lets_in(self, connection: Any) -> bool:
        if connection.peer == self.claim_id:
            return self.claim_active and connection.client_id.startswith("claim-")
        found = self.certificates.get(connection.peer)
        return found is not None and found.status == ACTIVE and found.thing == connection.client_id

    def _may(self, connection: Any, topic: str) -> bool:
        if connection.peer == self.claim_id:
            return topic.startswith((CSR, PROVISION.format(self.template)))
        thing = f"$aws/things/{connection.client_id}/"
        own = topic.startswith((f"{thing}defender/metrics/", f"{thing}shadow/name/rotation/"))
        return own or topic.startswith((CSR, PROVISION.format(self.rotation_template)))

    def _handle(self, connection: Any, kind: int, flags: int, body: bytes) -> bool:
        if kind == 8:
            (length,) = struct.unpack_from("!H", body, 2)
            topic = body[4 : 4 + length].decode()
            if not self._may(connection, topic):
                self.kept.refused.append(f"subscribe to {topic}")
                connection.sendall(bytes([SUBACK << 4, 3]) + body[:2] + bytes([REFUSED]))
                return True
        return super()._handle(connection, kind, flags, body)

    def _publish(self, connection: Any, flags: int, body: bytes) -> bool:
        (length,) = struct.unpack_from("!H", body)
        topic, rest = body[2 : 2 + length].decode(), body[2 + length :]
        if not self._may(connection, topic):
            self.kept.refused.append(f"publish to {topic}")
            return False  # as AWS does
        if topic.endswith("/shadow/name/rotation/get"):
            return self._tell_shadow(connection, topic)
        if topic.endswith("/shadow/name/rotation/update"):
            return self._commit(connection, json.loads(rest[2:]), rest[:2])
        call = "csr" if topic == CSR else "register" if topic.endswith("/provision/json") else None
        if call is None:
            return super()._publish(connection, flags, body)
        return self._answer(connection, call, topic, json.loads(rest))

    def _answer(self, connection: Any, call: str, topic: str, request: dict[str, Any]) -> bool:
        self.kept.asked.append((call, connection.client_id, time.monotonic()))
        fault = self.next_answers[call].pop(0) if self.next_answers[call] else None
        if fault in (None, LOST):
            rotates = topic == PROVISION.format(self.rotation_template)
            found = self._issue(request) if call == "csr" else self._register(connection.peer, request, rotates)
            if fault == LOST:
                return False
        else:
            found = fault
        if isinstance(found, dict):
            _send_message(connection, f"{topic}/accepted", json.dumps(found).encode())
            return True
        names = ("statusCode", "errorCode", "errorMessage")
        _send_message(connection, f"{topic}/rejected", json.dumps(dict(zip(names, found))).encode())
        return True

    def _issue(self, request: dict[str, Any]) -> dict[str, str]:
        csr = x509.load_pem_x509_csr(request["certificateSigningRequest"].encode())
        assert csr.is_signature_valid
        key = csr.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        pem, token = self.authority.sign("AWS IoT Certificate", key), secrets.token_hex(32)
        name = fingerprint(pem)
        self.certificates[name] = Certificate(
            PENDING, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )
        self.kept.tokens[token] = name
        return {"certificateId": name, "certificatePem": pem, "certificateOwnershipToken": token}

    def _register(self, peer: str, request: dict[str, Any], rotates: bool) -> Any:
        found = self.certificates.get(self.kept.tokens.get(request.get("certificateOwnershipToken", ""), ""))
        if found is None or found.status != PENDING:
            return INVALID_TOKEN
        parameters = request["parameters"]
        self.kept.parameters.append(parameters)
        thing = self.name_of(parameters)
        allowed = self.certificates[peer].thing == thing if rotates else self.hook(parameters)
        if not allowed:
            return DENIED
        found.status, found.thing = ACTIVE, thing
        return {"thingName": thing, "deviceConfiguration": {}}

    def _commit(self, connection: Any, document: dict[str, Any], packet: bytes) -> bool:
        """Make the thing's other certificates inactive, if it is the new one that says so."""
        reported = document["state"]["reported"]
        if reported["certificateId"] == connection.peer:
            for name in self.of(connection.client_id):
                self.certificates[name].status = ACTIVE if name == connection.peer else INACTIVE
        self.kept.committed.append(reported)
        if self.shadow is not None:
            self.shadow["state"]["reported"] = reported
        if self.next_answers["commit"] and self.next_answers["commit"].pop(0) == LOST:
            return False
        connection.sendall(bytes([PUBACK << 4, 2]) + packet)
        return True

    def _tell_shadow(self, connection: Any, topic: str) -> bool:
        if self.shadow is None:
            _send_message(connection, f"{topic}/rejected", b'{"code": 404, "message": "No shadow exists"}')
        else:
            _send_message(connection, f"{topic}/accepted", json.dumps(self.shadow).encode())
        return True


def fingerprint(pem: str) -> str:
    """Return a certificate's ID in AWS IoT."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
