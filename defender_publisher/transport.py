"""The transport: what a publisher needs of the way to Device Defender, and Device Defender's answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from defender_daemon.text import printable
from defender_publisher.errors import Rejected

LONGEST_CODE = 60  # characters; Device Defender's have up to 20


class Link(msgspec.Struct, frozen=True):
    """Whom to connect to, and as whom; paths are of PEM files, certificate and key are empty with WebSocket."""

    host: str
    port: int
    client_id: str
    topic: str
    root_ca: str
    certificate: str = ""
    private_key: str = ""
    websocket: bool = False

    @property
    def place(self) -> str:
        """Where the broker is, as a log has it."""
        return f"{self.host}:{self.port}" if self.port else self.host

    @property
    def reply_topics(self) -> tuple[str, ...]:
        """The topics on which Device Defender answers to `topic`."""
        return f"{self.topic}/accepted", f"{self.topic}/rejected"


class Delivery(msgspec.Struct, frozen=True):
    """A report that arrived: after how many seconds, and whether Device Defender said so, or nobody answers there."""

    seconds: float | None
    answered: bool = True

    def __str__(self) -> str:
        return f"accepted after {self.seconds:.3f} s" if self.answered else "sent (nobody answers)"


class Transport(Protocol):
    """A way to Device Defender."""

    @property
    def largest_report(self) -> int:
        """The bytes of the largest report that it can carry."""

    @property
    def needs_restart(self) -> str:
        """Why nothing but a new start of this program helps any more; empty as a rule."""

    on_loss: Callable[[], None]  # called, by any thread, when a connection is lost

    @property
    def connected(self) -> bool:
        """Whether a report can be published now."""

    @property
    def first_delay(self) -> float:
        """The seconds to wait before `keep_connected` is called first."""

    def connect(self) -> None:
        """Connect, if not connected; raises TransportError with the reason when that fails."""

    def keep_connected(self) -> float:
        """Connect where that is due, log why it fails, and return the seconds until this wants to be called again."""

    def publish(self, report_id: int, payload: bytes) -> Delivery:
        """Publish a report and return once it was accepted.

        Raises Rejected when Device Defender refused it, NotConnected when it could not be sent, NoVerdict when it was
        sent and nobody answered.
        """

    def late_verdicts(self) -> dict[int, bool]:
        """Return whether reports were accepted, by id, of which that was heard when nobody waited for it any more."""

    def reset(self) -> None:
        """Tear the connection down, from any thread, so that whatever hangs in it ends and a new one is made."""

    def close(self) -> None:
        """Disconnect, within a second or so."""


class Watcher:
    """Takes no notice of anything; one that does overrides what it wants to know."""

    def connected(self) -> None:
        """Note that there is a connection from now on."""

    def disconnected(self) -> None:
        """Note that there is none any more."""

    def reported(self, report_id: int, verdict: str, seconds: float | None = None) -> None:
        """Note a report's verdict ("accepted", "delivered", "rejected: CODE" or "unanswered") and its seconds."""

    def proven(self, report_id: int) -> None:
        """Note that this report was refused only because of one from before the start, which proves the way."""

    def failed(self) -> None:
        """Note that no report could be made."""

    def next_report(self, seconds: float | None) -> None:
        """Note in how many seconds the next report is due; None while it waits for a connection."""


class Reply(msgspec.Struct, frozen=True):
    """Device Defender's answer to a report; `report_id` is None where a rejection does not name it."""

    accepted: bool
    report_id: int | None
    code: str = ""
    message: str = ""

    def error(self, report_id: int) -> Rejected:
        """Return this rejection as the error to raise for `report_id`."""
        return Rejected(report_id, self.code, self.message)


def parse_reply(topic: str, payload: bytes, form: str) -> Reply | None:
    """Read a message on a reply topic, in the report's encoding; None if it is not an answer to a report.

    https://docs.aws.amazon.com/iot-device-defender/latest/devguide/detect-device-side-metrics.html
    """
    try:
        content = decode(payload, form)
    except Exception:  # noqa: BLE001 - whatever a decoder makes of garbage, it is no answer
        return None
    if not isinstance(content, dict):
        return None
    report_id = content.get("reportId")
    report_id = report_id if isinstance(report_id, int) and 0 < report_id < 2**63 else None
    if topic.endswith("/accepted"):
        return Reply(True, report_id) if report_id is not None else None
    details = content.get("statusDetails")
    details = details if isinstance(details, dict) else {}
    code, message = (
        str(details.get(key, default)) for key, default in (("ErrorCode", "unknown"), ("ErrorMessage", ""))
    )
    return Reply(False, report_id, printable(code, LONGEST_CODE), printable(message))


def decode(payload: bytes, form: str) -> Any:
    """Return what a message holds, in the encoding "json" or "cbor"; raises what the decoder raises."""
    if form == "json":
        return json.loads(payload)
    import cbor2  # here, because it costs memory that a device with JSON keeps

    return cbor2.loads(payload)
