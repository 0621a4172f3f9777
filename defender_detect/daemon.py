"""The daemon in outline: be a broker or join one, answer and evaluate what arrives, and notice silence until a signal.

A report that arrives is judged by the receiver (`receive.receiver`, `judge`), which replies. What is accepted goes to
the service (`service`), which evaluates it (`evaluate`), keeps it (`store`) and tells whoever is to hear (`alerts`).
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from defender_daemon.log_queue import queued_log
from defender_daemon.notify import Notifier
from defender_daemon.status import LastErrorHandler
from defender_detect.alerts.log import log as alarm_log
from defender_detect.alerts.of_profiles import describe_outside
from defender_detect.arguments import PROGRAM
from defender_detect.attachments import read_rules
from defender_detect.audience import alert_topics, make_alerts
from defender_detect.checking import check_endpoint, check_shard, find_credentials
from defender_detect.config import Config
from defender_detect.errors import DetectError
from defender_detect.evaluate.detector import Rules
from defender_detect.logs import start_logging
from defender_detect.mailbox import Mailbox
from defender_detect.pulse import Pulse
from defender_detect.receive.credentials import Credentials
from defender_detect.receive.endpoint import Endpoint
from defender_detect.receive.receiver import Receiver
from defender_detect.reminder import Reminder, own_certificates
from defender_detect.renewing import check_renewal, make_renewal
from defender_detect.service import TURN, Service, open_store
from defender_detect.status import StatusFile, open_status
from defender_detect.store.documents import Documents

LOCAL_HOST = "127.0.0.1"  # where the built-in broker listens unless told otherwise; never on every interface

log = logging.getLogger(__name__)


def run_until_stopped(read: Callable[[], Config], config_file: Path | None = None) -> None:
    """Answer reports until SIGTERM or SIGINT; on SIGHUP `read` the configuration again, for profiles and groups.

    `config_file` is where that is, to be shown to who asks for the status.
    """
    config = read()
    start_logging(config.agent.debug)
    rules = read_rules(config)
    check_endpoint(config)
    check_shard(config)
    check_renewal(config)
    for sentence in describe_outside(rules):
        log.info("%s", sentence)
    with queued_log():  # a log that nobody reads must not cost reports
        mailbox = Mailbox(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        credentials, notifier = find_credentials(config), Notifier()
        with broker_of(config, credentials, rules) as (endpoint, broker_lives):
            status = open_status(config, config_file, endpoint)
            receiver = make_receiver(config, endpoint, credentials, mailbox, notifier)
            service = Service(
                rules, open_store(config), make_alerts(config, receiver.publish, rules), config.detect.most_things
            )
            receiver.on_accepted, receiver.on_rejected = service.accept, service.reject

            def reread() -> None:
                reload(service, read)

            try:
                log.info("%s", service.restore(receiver.remember))
                note_errors(status)
                receiver.start()
                if not config.agent.embedded_broker:  # which may come later than this machine
                    notifier.ready()
                parts = {"the built-in broker": broker_lives, "the connection to the broker": receiver.lives}
                pulse = Pulse(notifier, parts, lambda: look(status, receiver, service))
                reminder, written = Reminder(own_certificates(config)), WrittenProfiles(config, reread)
                chores = (
                    written.look,
                    lambda: service.look_for_silence(time.time(), receiver.deafness.take()),
                    lambda: reminder.look(time.time()),
                )
                watch(mailbox, pulse, reread, chores)
            finally:
                notifier.stopping()
                receiver.stop()
                service.close(time.time())


@contextlib.contextmanager
def broker_of(config: Config, credentials: Credentials, rules: Rules) -> Iterator[tuple[Endpoint, Callable[[], bool]]]:
    """Return where the broker is, and what says whether it makes progress; the embedded one runs meanwhile."""
    authentication = config.agent.authentication
    endpoint = Endpoint(authentication.endpoint or LOCAL_HOST, authentication.port)
    if not config.agent.embedded_broker:
        yield endpoint, lambda: True
        return
    from defender_detect.receive.broker import EmbeddedBroker  # here, because only it needs amqtt

    revoked = Path(authentication.revoked) if authentication.revoked else None
    renewal = make_renewal(config)
    broker = EmbeddedBroker(endpoint, credentials, alert_topics(config, rules), revoked, answerer=renewal)
    broker.start()
    try:
        yield broker.endpoint, broker.lives
    finally:
        broker.stop()


def make_receiver(
    config: Config, endpoint: Endpoint, credentials: Credentials, mailbox: Mailbox, notifier: Notifier
) -> Receiver:
    """Return what answers reports at a broker, not yet connected."""
    interval = config.agent.minimum_interval

    def tell_ready() -> None:
        log.info("%s is ready on %s: every thing may report once in %g s", PROGRAM, endpoint, interval)
        notifier.ready()
        mailbox.wake()  # so that the status says so at once

    return Receiver(
        endpoint.reachable, credentials, interval, tell_ready, mailbox.put,
        config.agent.own_topic, most_things=config.detect.most_things,
    )  # fmt: skip


def note_errors(status: StatusFile) -> None:
    """Let the status have the last error of the log; an alarm is none of Detect's own."""
    handler = LastErrorHandler(status)
    handler.addFilter(lambda record: record.name != alarm_log.name)
    logging.getLogger().addHandler(handler)


def look(status: StatusFile, receiver: Receiver, service: Service) -> str:
    """Let the status have what is so now, and return it in a line."""
    waiting = service.alerts_waiting
    return status.look(receiver.is_connected, things=service.things, waiting=waiting, **service.in_force)


class WrittenProfiles:
    """Takes over the profiles that the API wrote meanwhile."""

    def __init__(self, config: Config, reread: Callable[[], None]) -> None:
        directory = config.agent.state_directory
        self._changes: Callable[[], object] = Documents(directory).changes if directory else lambda: None
        self._seen, self._reread = self._changes(), reread

    def look(self) -> None:
        """Read the rules again where there are other profiles than at the last look."""
        if self._seen != (now := self._changes()):
            self._seen = now
            self._reread()


def watch(mailbox: Mailbox, pulse: Pulse, reread: Callable[[], None], chores: Sequence[Callable[[], None]]) -> None:
    """Do the chores at once and every TURN seconds, until a signal ends the program; raise the error that does."""
    looked = -math.inf
    while True:
        if time.monotonic() - looked >= TURN:
            looked = time.monotonic()
            for chore in chores:
                chore()
        pulse.beat()
        number = mailbox.wait(min(TURN, pulse.every))
        if number == signal.SIGHUP:
            pulse.reloading()
            reread()
            pulse.reloaded()
        elif number is not None:
            return


def reload(service: Service, read: Callable[[], Config]) -> None:
    """Continue with profiles and groups as they are now, or keep the current ones if they are wrong."""
    try:
        rules = read_rules(read())
    except DetectError as error:
        log.error("keeping the current profiles and groups; the new ones are invalid: %s", error)
        return
    service.reload(rules, time.time())
    text = "security profiles in force from now on: %d; whatever else changed needs a restart"
    log.info(text, len(rules.attachments))
