"""The top rungs: MQTT with the device's own client ID, unless a daemon uses it, which is asked instead."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from defender_publisher.credentials import AS_OWNER
from defender_publisher.device import ThisDevice
from defender_publisher.diagnosis import CLOSED_ON_PUBLISH, SILENT, problem_in
from defender_publisher.doctor import witness
from defender_publisher.doctor.case import Case
from defender_publisher.doctor.ladder import Failed
from defender_publisher.errors import DefenderError, NoVerdict, Rejected, SubscriptionRefused, TransportError
from defender_publisher.mqtt import open_transport
from defender_publisher.publisher import ADVICE, Publisher
from defender_publisher.settings import Settings
from defender_publisher.state import LOCK_FILE, STATE_FILE, StateFile, StateInUseError, publisher_runs
from defender_publisher.transport import Delivery

REPORT_WITHIN = 30.0  # seconds for the report's rung: growth, custom commands, and 15 for the verdict
FIRST_GROWTH = 1.0  # seconds over which cpu_usage is measured
THROTTLED_WITHIN = 300.0  # seconds; Device Defender takes one report per thing in them
CHECK_BROKER = "the broker is there and silent: try again, and look into its log"
CHECK_COMMANDS = "look at the commands of custom_metrics, and how long each takes"
POLICY_TIME = "a change of it takes 6 to 8 minutes"

ON_SILENCE = (
    "register the thing, if it is not, and let the certificate's policy allow iot:Receive on topic/{topic}/* "
    f"({POLICY_TIME})"
)


def connect_mqtt(case: Case) -> str:
    """Connect with the client ID, or ask the daemon that uses it: a second connection would push it out."""
    if not _is_free(case):
        return witness.tell_connection(case)
    case.transport = open_transport(case.settings)
    client_id = case.settings.agent.client_id
    try:
        case.transport.connect()
    except SubscriptionRefused as refused:
        case.refused = refused
    except TransportError as error:
        allow = f"let the certificate's policy allow iot:Connect on client/{client_id} ({POLICY_TIME})"
        raise Failed(str(error), problem_in(SILENT).advice if str(error) == SILENT else allow) from error
    return f"as {client_id}"


def hear_replies(case: Case) -> str:
    """See that the subscriptions to both reply topics were granted."""
    if case.daemon_runs:
        return witness.tell_subscriptions(case)
    topic = case.settings.topic
    if case.refused is not None:
        raise Failed(
            str(case.refused),
            f"let the policy allow iot:Subscribe on topicfilter/{topic}/accepted and .../rejected, and iot:Receive on "
            f"topic/{topic}/* ({POLICY_TIME})",
        )
    return f"{topic}/accepted and .../rejected"


def send_report(case: Case) -> str:
    """Publish one report of this device, as the daemon would, and return the verdict."""
    if case.daemon_runs:
        return witness.tell_report(case)
    since_last = _seconds_since_last_report(case)
    publisher = Publisher(case.settings, ThisDevice(case.settings.config), case.transport, case.store)
    time.sleep(FIRST_GROWTH)
    try:
        return _proof(publisher.publish(), case.settings)
    except Rejected as error:
        if error.throttled and since_last is not None and 0 <= since_last < THROTTLED_WITHIN:
            return f"throttled, because the last report went out {since_last:.0f} s ago: the way is proven"
        raise Failed(str(error), ADVICE.get(error.code, "look the code up in AWS's documentation")) from error
    except DefenderError as error:
        raise Failed(problem_in(str(error)).says, _advice_on(error, case.settings.topic)) from error
    finally:
        _hand_back(Path(str(case.settings.agent.state_directory)))


def _proof(delivery: Delivery, settings: Settings) -> str:
    """Return what the delivery proves; the publisher takes silence for delivered after a while, the doctor does not."""
    if not delivery.answered and settings.agent.topic is None:
        raise Failed("the report went out, and nobody answers", ON_SILENCE.format(topic=settings.topic))
    return str(delivery)


def _advice_on(error: DefenderError, topic: str) -> str:
    says, advice = problem_in(str(error))
    if says == problem_in(CLOSED_ON_PUBLISH).says:
        return f"let the certificate's policy allow iot:Publish on topic/{topic} ({POLICY_TIME})"
    if isinstance(error, NoVerdict) and error.healthy:
        return ON_SILENCE.format(topic=topic)
    return advice or "try again, and look into the broker's log"


def _is_free(case: Case) -> bool:
    """Take the state's lock, or find that a daemon has it; it is held until the ladder ends."""
    directory = Path(str(case.settings.agent.state_directory))
    try:
        case.daemon_runs = publisher_runs(directory)
    except PermissionError as error:
        raise Failed(f"whether a daemon runs cannot be told: {directory} is another user's", AS_OWNER) from error
    case.store = StateFile(directory)
    try:
        if not case.daemon_runs:
            case.store.acquire()
    except StateInUseError:  # it has started this very moment
        case.daemon_runs = True
    return not case.daemon_runs


def _seconds_since_last_report(case: Case) -> float | None:
    sent_at = case.store.load(case.settings.thing_name).published_at
    return None if sent_at is None else case.clock() - sent_at


def _hand_back(directory: Path) -> None:
    """Give what root made in another user's state directory to that user, whose daemon could not write it any more."""
    with contextlib.suppress(OSError):
        owner = directory.stat()
        for name in (LOCK_FILE, STATE_FILE) if os.geteuid() == 0 != owner.st_uid else ():
            os.chown(directory / name, owner.st_uid, owner.st_gid, follow_symlinks=False)
