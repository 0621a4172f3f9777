"""A session through the nucleus: one connection to it, whose own connection to AWS IoT carries the reports."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from defender_publisher.errors import ConfigError, NotConnected, SubscriptionRefused, TransportError
from defender_publisher.greengrass import eventstream, ipc
from defender_publisher.inbox import Inbox, Message
from defender_publisher.transport import Link
from device_defender.report import LARGEST_PAYLOAD

THING, SOCKET, TOKEN = "AWS_IOT_THING_NAME", "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", "SVCUID"
LITE = "aws.greengrass.NucleusLite"  # the component that is the nucleus itself, where it is nucleus lite
LITE_FRAME = 10_012  # bytes; nucleus lite hangs up on a longer message, without a word (seen with 2.6.0)
REPLIES_QOS = 1
TOKENS_REFUSED = 2  # in a row, after which no later one will be let in
NOT_LITE = "ResourceNotFoundError"  # what a nucleus answers that has no component of the name LITE


ADVICE: dict[type[BaseException], str] = {
    ipc.TokenRefused: "it may have been restarted: restart the component",
    FileNotFoundError: "start the nucleus",
    ConnectionRefusedError: "start the nucleus",
    PermissionError: "run this as the user that the nucleus runs components as, ggc_user or gg_component as a rule",
}


class Way(NamedTuple):
    """How a component reaches its nucleus: what the nucleus put into its environment."""

    path: str
    token: str
    thing: str


def find_way(environment: Mapping[str, str] = os.environ) -> Way:
    """Return how to reach the nucleus; raises ConfigError where this is not a component of a provisioned core."""
    missing = [name for name in (SOCKET, TOKEN) if not environment.get(name)]
    if missing:
        raise ConfigError([f"--greengrass is for a Greengrass component, which this is not: {missing[0]} is not set"])
    if not environment.get(THING):
        raise ConfigError([f"this core has no thing name ({THING} is empty): provision it first"])
    return Way(environment[SOCKET], environment[TOKEN], environment[THING])


def largest_report(topic: str) -> int:
    """Return the bytes of the largest report that nucleus lite takes on a topic."""
    headers = ipc.call_headers("PublishToIoTCore", 2**31 - 1)
    empty = json.dumps({"topicName": topic, "qos": "0", "payload": ""}).encode()
    return (LITE_FRAME - len(eventstream.encode(headers, empty))) // 4 * 3  # base64


def is_lite(client: ipc.Client, way: Way) -> bool:
    """Tell whether the nucleus is nucleus lite, which is the one that has a configuration under its own name.

    It is asked once: no nucleus becomes another one while it knows the component's token. One that gave no answer to
    this is taken for nucleus lite, whose smaller reports every nucleus takes, and is asked again the next time.
    """
    if way not in _answers:
        try:
            ipc.get_configuration(client, "awsRegion", component=LITE)
        except ipc.IpcError as error:
            if error.code != NOT_LITE:
                return True
            _answers[way] = False
        else:
            _answers[way] = True
    return _answers[way]


_answers: dict[Way, bool] = {}  # whether the nucleus at the other end is nucleus lite; a process has one


def reason_of(error: BaseException) -> str:
    """Return why the nucleus cannot be reached, as a part of a sentence."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def advice_on(error: BaseException) -> str:
    """Return what to do about a nucleus that cannot be reached, nothing where only waiting helps."""
    return next((advice for kind, advice in ADVICE.items() if isinstance(error, kind)), "")


class Token:
    """Whether the nucleus still knows the component's token; shared by the sessions of one transport."""

    def __init__(self) -> None:
        self.refused = 0

    @property
    def problem(self) -> str:
        """Why only a new start helps, or nothing."""
        if self.refused < TOKENS_REFUSED:
            return ""
        return "the nucleus was restarted and no longer knows this component's token, which only a new start brings"


class GreengrassSession:
    """One connection to the nucleus; `on_limit` is told the largest report once it is known."""

    def __init__(self, link: Link, way: Way, token: Token, on_limit: Callable[[int], None]) -> None:
        self._link, self._way, self._token, self._on_limit = link, way, token, on_limit
        self._inbox = Inbox()
        self._client: ipc.Client | None = None

    @property
    def alive(self) -> bool:
        """Whether the connection to the nucleus is up."""
        return self._client is not None and not self._client.closed.is_set()

    def open(self, replies_required: bool = True) -> None:
        """Connect to the nucleus and subscribe to the reply topics; raises TransportError with the reason."""
        try:
            self._client = ipc.Client(self._way.path, self._way.token, on_end=self._inbox.close)
            self._token.refused = 0
            self._on_limit(self._find_limit())
            for topic in self._link.reply_topics:
                ipc.subscribe_to_iot_core(self._client, topic, self._take, REPLIES_QOS)
        except ipc.TokenRefused as error:
            self._token.refused += 1
            raise TransportError(str(error), advice_on(error)) from error
        except ipc.IpcError as error:
            self.close()
            raise self._refusal(error) from error
        except (ipc.Closed, OSError) as error:
            self.close()
            says = f"the nucleus cannot be reached at {self._way.path}: {reason_of(error)}"
            raise TransportError(says, advice_on(error)) from error

    def when_lost(self, call: Callable[[], None]) -> None:
        """Have a function called, by any thread, when the connection is lost from now on."""
        self._inbox.on_close = call

    def publish(self, payload: bytes) -> None:
        """Send a report at QoS 0; raises NotConnected when the nucleus does not take it."""
        try:
            ipc.publish_to_iot_core(self._connected(), self._link.topic, payload)
        except ipc.IpcError as error:
            if error.code == "UnauthorizedError":
                raise NotConnected(*_denied("PublishToIoTCore", self._link.topic)) from error
            raise NotConnected(f"the nucleus did not take the report ({error})", "it may be offline") from error
        except (ipc.Closed, OSError) as error:
            raise NotConnected(f"the nucleus did not take the report: {reason_of(error)}") from error

    def next_message(self, timeout: float) -> Message | None:
        """Return the next message, or None after `timeout` seconds; raises NotConnected when the connection is lost."""
        try:
            return self._inbox.get(timeout)
        except EOFError:
            raise NotConnected("the connection to the nucleus is lost") from None

    def waiting_messages(self) -> Iterator[Message]:
        """Yield the messages that have arrived and that nobody waited for."""
        yield from self._inbox.take_all()

    def answers(self) -> bool:
        """Whether the nucleus answers, and has a connection to AWS IoT: a subscription is granted only then."""
        try:
            ipc.subscribe_to_iot_core(self._connected(), self._link.reply_topics[0], self._take, REPLIES_QOS)
        except (ipc.IpcError, ipc.Closed, OSError, NotConnected):
            return False
        return True

    def close(self) -> None:
        """End the connection to the nucleus."""
        if self._client is not None:
            self._client.close()
        self._inbox.close()

    def _connected(self) -> ipc.Client:
        if self._client is None:
            raise NotConnected("the nucleus is not connected")
        return self._client

    def _take(self, topic: str, payload: bytes) -> None:
        self._inbox.put(Message(topic, payload))

    def _find_limit(self) -> int:
        """Return the largest report that this nucleus takes."""
        return largest_report(self._link.topic) if is_lite(self._connected(), self._way) else LARGEST_PAYLOAD

    def _refusal(self, error: ipc.IpcError) -> TransportError:
        if error.code == "UnauthorizedError":
            return SubscriptionRefused(*_denied("SubscribeToIoTCore", f"{self._link.topic}/*"))
        return TransportError(f"the nucleus has no connection to AWS IoT ({error})", "the report waits for one")


def _denied(operation: str, topic: str) -> tuple[str, str]:
    says = f"the nucleus does not allow this component aws.greengrass#{operation} on {topic}"
    return says, "add the operation and $aws/things/+/defender/metrics/# to the component's accessControl"
