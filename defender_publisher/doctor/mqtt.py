"""What is checked of MQTT, with the device's own client ID, unless a daemon uses it, which is asked instead."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from defender_daemon import files
from defender_daemon.certificate import AS_OWNER, common_name
from defender_daemon.ladder import Failed
from defender_publisher.device import ThisDevice
from defender_publisher.diagnosis import no_verdict
from defender_publisher.doctor import daemon
from defender_publisher.doctor.case import Case
from defender_publisher.endpoint import is_aws
from defender_publisher.errors import DefenderError, Rejected, SubscriptionRefused, TooSoon, TransportError
from defender_publisher.publisher import Publisher, advice_on
from defender_publisher.state import LOCK_FILE, STATE_FILE, StateFile, StateInUseError, publisher_runs
from defender_publisher.transport import Delivery
from defender_publisher.transports import open_transport

REPORT_WITHIN = 30.0  # seconds for the report's rung: growth, custom commands, and 15 for the verdict
FIRST_GROWTH = 1.0  # seconds over which cpu_usage is measured
CHECK_BROKER = "the broker accepts connections and does not answer: try again, and check its log"
CHECK_COMMANDS = "look at the commands of custom_metrics, and how long each takes"
LOOK_INTO_LOG = "try again, and look into the broker's log"


def connect_mqtt(case: Case) -> str:
    """Connect with the client ID, or ask the daemon that uses it: a second connection would push it out."""
    if not _is_free(case):
        return daemon.tell_connection(case)
    case.transport = open_transport(case.settings)
    try:
        case.transport.connect()
    except SubscriptionRefused as refused:
        case.refused = refused
    except TransportError as error:
        raise Failed(*error.problem) from error
    return f"as {case.settings.agent.client_id}"


def hear_replies(case: Case) -> str:
    """See that the subscriptions to both reply topics were granted."""
    if case.daemon_runs:
        return daemon.tell_subscriptions(case)
    topic = case.settings.topic
    if case.refused is not None:
        says, advice = case.refused.problem
        raise Failed(says, _by_name(case) or advice)
    return f"{topic}/accepted and .../rejected"


def _by_name(case: Case) -> str:
    """Return what to do where a broker of one's own knows the device by another name than the thing's, else nothing."""
    name, thing = common_name(case.link.certificate) if case.link.certificate else None, case.settings.thing_name
    if is_aws(case.link.host) or name in (None, thing):
        return ""
    return (
        f"this broker goes by the certificate's common name, which must be {thing} and is {name!r}: "
        "give this device a certificate of that name"
    )


def send_report(case: Case) -> str:
    """Publish one report of this device, as the daemon would, and return the verdict."""
    if case.daemon_runs:
        return daemon.tell_report(case)
    publisher = Publisher(case.settings, ThisDevice(case.settings.config), case.transport, case.store)
    time.sleep(FIRST_GROWTH)
    try:
        return _proof(publisher.publish(), case)
    except TooSoon as error:
        return str(error)
    except Rejected as error:
        raise Failed(str(error), advice_on(error) or "look the code up in AWS's documentation") from error
    except DefenderError as error:
        says, advice = error.problem
        raise Failed(says, advice or LOOK_INTO_LOG) from error
    finally:
        _hand_back(Path(str(case.settings.agent.state_directory)))


def _proof(delivery: Delivery, case: Case) -> str:
    """Return what the delivery proves; the publisher takes silence for delivered after a while, the doctor does not."""
    if not delivery.answered and case.settings.agent.topic is None:
        raise Failed("the report went out, and nobody answers", no_verdict(0.0, case.link).advice)
    return str(delivery)


def _is_free(case: Case) -> bool:
    """Take the state's lock, or find that a daemon has it; it is held until the ladder ends."""
    directory = Path(str(case.settings.agent.state_directory))
    try:
        case.daemon_runs = publisher_runs(directory)
    except PermissionError as error:
        raise Failed(f"whether a daemon runs is unknown: {directory} is another user's", AS_OWNER) from error
    except OSError as error:
        raise Failed(f"whether a daemon runs is unknown: {directory}: {error.strerror}", "remove its lock") from error
    case.store = StateFile(directory)
    try:
        if not case.daemon_runs:
            case.store.acquire()
    except StateInUseError:  # it has started this very moment
        case.daemon_runs = True
    return not case.daemon_runs


def _hand_back(directory: Path) -> None:
    """Give what root made in another user's state directory to that user, whose daemon could not write it any more."""
    with contextlib.suppress(OSError):
        owner = directory.stat()
        for name in (LOCK_FILE, STATE_FILE) if os.geteuid() == 0 != owner.st_uid else ():
            with open(directory / name, "rb", opener=files.open_regular) as file:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
