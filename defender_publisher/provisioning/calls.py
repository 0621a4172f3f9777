"""The calls: the two questions of AWS IoT's fleet provisioning, asked on one session, whose replies come on it too."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from defender_daemon.text import printable
from defender_publisher.errors import NotConnected, SubscriptionRefused, TransportError
from defender_publisher.inbox import Message
from defender_publisher.provisioning import refusals
from device_defender.metrics import is_thing_name

CREATE_FROM_CSR = "$aws/certificates/create-from-csr/json"
REGISTER = "$aws/provisioning-templates/{template}/provision/json"
APART = 1.0  # seconds between two questions, and two connections of a client ID: AWS IoT takes one CONNECT a second
ANSWER_WITHIN = 15.0  # seconds; a hook may take 5, and AWS answers the rest within one
ACCEPTED, REJECTED = "/accepted", "/rejected"

A = TypeVar("A", bound=msgspec.Struct)


class Session(Protocol):
    """What is needed of a connection: a `defender_publisher.session.Session`."""

    def subscribe(self, topic: str) -> None:
        """Hear a topic; raises SubscriptionRefused, or TransportError."""

    def send(self, topic: str, payload: bytes) -> None:
        """Send a message at QoS 0; raises NotConnected."""

    def next_message(self, timeout: float) -> Message | None:
        """Return the next message, or None after `timeout` seconds; raises NotConnected."""


class Issued(msgspec.Struct, frozen=True):
    """A certificate that waits for its registration, and the token that stands for it."""

    certificate_pem: str = msgspec.field(name="certificatePem")
    token: str = msgspec.field(name="certificateOwnershipToken")


class Registered(msgspec.Struct, frozen=True):
    """The thing that a certificate was registered for; a template's deviceConfiguration is not used."""

    thing_name: str = msgspec.field(name="thingName")

    def __post_init__(self) -> None:
        if not is_thing_name(self.thing_name):
            raise ValueError(f"{printable(self.thing_name)!r} is no thing's name")


class Pace:
    """Sees to it that nothing is done twice within a second."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._last: dict[str, float] = {}

    @contextlib.contextmanager
    def apart(self, what: str) -> Iterator[None]:
        """Wait until a second has passed since this was done last, and note when it is done again."""
        left = self._last.get(what, float("-inf")) + APART - time.monotonic()
        if left > 0:
            self._sleep(left)
        try:
            yield
        finally:
            self._last[what] = time.monotonic()


class Asker(NamedTuple):
    """Asks on a session, for a certificate and then for its registration by a template."""

    session: Session
    template: str
    rotates: bool
    pace: Pace

    @property
    def registration(self) -> str:
        """The topic on which the template is asked."""
        return REGISTER.format(template=self.template)

    def listen(self) -> None:
        """Subscribe to the replies, before anything is asked; raises ProvisioningError."""
        for topic in (CREATE_FROM_CSR, self.registration):
            for reply in (topic + ACCEPTED, topic + REJECTED):
                try:
                    self.session.subscribe(reply)
                except TransportError as error:
                    refused = isinstance(error, SubscriptionRefused)
                    raise refusals.not_subscribed(reply, error, refused=refused) from error

    def create_certificate(self, request: str) -> Issued:
        """Ask for a certificate for the key of a signing request; raises ProvisioningError."""
        return self._ask(CREATE_FROM_CSR, {"certificateSigningRequest": request}, Issued)

    def register(self, token: str, parameters: Mapping[str, str]) -> Registered:
        """Ask the template to register the certificate of a token; raises ProvisioningError, UsedTokenError."""
        return self._ask(
            self.registration, {"certificateOwnershipToken": token, "parameters": dict(parameters)}, Registered
        )

    def _ask(self, topic: str, document: Mapping[str, object], kind: type[A]) -> A:
        try:
            with self.pace.apart("ask"):
                self.session.send(topic, json.dumps(document).encode())
            message = self._reply(topic)
        except NotConnected as error:
            raise refusals.hung_up(topic) from error
        try:
            if message.topic == topic + ACCEPTED:
                return msgspec.json.decode(message.payload, type=kind)
            rejection = msgspec.json.decode(message.payload, type=refusals.Rejection, strict=False)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise refusals.unreadable(message.topic, error) from error
        raise refusals.rejected(topic, rejection, self.template, self.rotates)

    def _reply(self, topic: str) -> Message:
        deadline = time.monotonic() + ANSWER_WITHIN
        while (left := deadline - time.monotonic()) > 0:
            message = self.session.next_message(left)
            if message is not None and message.topic in (topic + ACCEPTED, topic + REJECTED):
                return message
        raise refusals.unanswered(topic, ANSWER_WITHIN, alive=self._is_alive(topic))

    def _is_alive(self, topic: str) -> bool:
        """Whether the broker answers on this connection now; asked by subscribing once more, which changes nothing."""
        try:
            self.session.subscribe(topic + ACCEPTED)
        except TransportError:
            return False
        return True
