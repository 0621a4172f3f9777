"""The broker: opens the sessions of provisioning, as a claim or as the thing, each client ID once a second at most."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import AWSIoTPythonSDK

from defender_daemon.certificate import problem_of_dates
from defender_publisher.errors import NotValidNow, TransportError
from defender_publisher.provisioning import refusals
from defender_publisher.provisioning.calls import Asker, Pace
from defender_publisher.sdk import check_sdk
from defender_publisher.session import Session
from defender_publisher.settings import RESERVED_TOPIC, Settings
from defender_publisher.tcp import open_socket
from defender_publisher.transport import Link
from defender_publisher.transports import link_to, method_of

LONGEST_CLIENT_ID = 128  # characters


class AskingLink(Link, frozen=True):
    """A link on which no report is sent: what is to be heard is subscribed to by who asks."""

    @property
    def reply_topics(self) -> tuple[str, ...]:
        """None."""
        return ()


class Pair(NamedTuple):
    """A certificate and its key, as files."""

    certificate: Path
    private_key: Path


class Broker:
    """Whom the device speaks to about its certificates."""

    def __init__(self, settings: Settings, pace: Pace | None = None) -> None:
        check_sdk(AWSIoTPythonSDK.__version__)
        self._settings = settings
        self._pace = pace or Pace()
        self._own = link_to(settings, method_of(settings.agent.authentication).port)

    @contextlib.contextmanager
    def asker(self, client_id: str, pair: Pair, template: str, *, rotates: bool) -> Iterator[Asker]:
        """Connect, and yield what asks on that connection; raises ProvisioningError."""
        link = AskingLink(
            self._own.host,
            self._own.port,
            client_id[:LONGEST_CLIENT_ID],
            "",
            self._own.root_ca,
            str(pair.certificate),
            str(pair.private_key),
        )
        session = self._session(link)
        try:
            self._open(session, link)
        except TransportError as error:
            raise refusals.not_connected(error, link.client_id) from error
        try:
            asker = Asker(session, template, rotates, self._pace)
            asker.listen()
            yield asker
        finally:
            session.close()

    def open_as(self, thing: str, pair: Pair) -> Session:
        """Connect as the thing does that reports, and see that it can hear its verdicts; raises TransportError."""
        link = self._reporting(thing, pair)
        session = self._session(link)
        self._open(session, link)
        return session

    def _reporting(self, thing: str, pair: Pair) -> Link:
        """Return the link of the thing, which may have been given another name than the configuration has."""
        settings, agent = self._settings, self._settings.agent
        own = thing == settings.thing_name
        topic = settings.topic if own else RESERVED_TOPIC.replace("{thing_name}", thing) + agent.format
        client_id = thing if agent.client_id == settings.thing_name else str(agent.client_id)
        files = str(pair.certificate), str(pair.private_key)
        return Link(self._own.host, self._own.port, client_id, topic, self._own.root_ca, files[0], files[1])

    def _session(self, link: Link) -> Session:
        return Session(link, partial(open_socket, link.host, link.port, self._settings.agent.proxy))

    def _open(self, session: Session, link: Link) -> None:
        problem = problem_of_dates(link.certificate)
        if problem is not None:
            raise NotValidNow(*problem)
        gc.collect()  # the SDK's clients are knots of references that hold three descriptors each
        with self._pace.apart(link.client_id):
            session.open(replies_required=self._settings.agent.topic is None)
