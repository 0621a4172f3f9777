"""The enrollment: one new key and its certificate, from the question until the broker lets the thing in with it.

The order is what makes it survive a kill at any moment: the key is kept before anything is asked; the certificate and
its token are kept before the certificate is registered, because from then on it is one that counts; and the pair is not
given to anybody who reports before a connection with it was made. What is asked for and never registered AWS deletes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple

from defender_daemon.certificate import certificates_in
from defender_publisher.errors import NotLetIn, Problem, TransportError
from defender_publisher.provisioning.broker import Broker, Pair
from defender_publisher.provisioning.calls import Asker
from defender_publisher.provisioning.errors import CSR, ProvisioningError, UsedTokenError
from defender_publisher.provisioning.identities import Identities, Slot
from defender_publisher.provisioning.journal import Journal, JournalFile
from defender_publisher.provisioning.key import make_key, make_request
from defender_publisher.provisioning.progress import done
from defender_publisher.provisioning.refusals import not_let_in
from defender_publisher.session import Session

ANOTHERS = "the certificate that came is not that of this device's key"


class Enrollment(NamedTuple):
    """What is needed to get a pair; `connect` opens the connection on which is asked."""

    identities: Identities
    file: JournalFile
    broker: Broker
    connect: Callable[[], AbstractContextManager[Asker]]
    parameters: Mapping[str, str]
    clock: Callable[[], float] = time.time

    def obtain(self, journal: Journal) -> tuple[Journal, Session]:
        """Get a pair into the journal's slot; return the journal, and a connection as the thing with that pair.

        Raises ProvisioningError.
        """
        self._ensure_key(journal.slot)
        session = None
        if journal.certificate is not None:
            self._keep_certificate(journal)
            if (journal.thing_name is None or journal.assumed) and journal.token_is_old(self.clock()):
                journal, session = self._try_old(journal)
        if journal.thing_name is None:
            journal = self._ask(journal)
        session = session or self._prove(journal)
        if journal.assumed:
            journal = self.file.note(journal, "name proved", assumed=False)
        done("verified")
        return journal, session

    def _ensure_key(self, slot: Slot) -> None:
        if not self.identities.key(slot).exists():
            pem = make_key()
            done("key made")
            self.identities.put_key(slot, pem)
            done("key kept")

    def _keep_certificate(self, journal: Journal) -> None:
        """Keep the certificate beside its key, and see that the two belong together."""
        self.identities.put_certificate(journal.slot, certificates_in(str(journal.certificate)).encode())
        if not self.identities.has_pair(journal.slot):
            self.file.note(journal, "certificate forgotten", certificate=None, token=None)
            raise ProvisioningError(CSR, Problem(ANOTHERS, "it is tried again"))

    def _ask(self, journal: Journal) -> Journal:
        with self.connect() as asker:
            done("connected")
            if journal.token is None:
                journal = self._ask_for_certificate(asker, journal)
            try:
                answer = asker.register(str(journal.token), self.parameters)
            except UsedTokenError as error:
                return self._after_used_token(journal, error)
            done("registered")
            return self.file.note(journal, "name noted", thing_name=answer.thing_name, failure=None)

    def _ask_for_certificate(self, asker: Asker, journal: Journal) -> Journal:
        issued = asker.create_certificate(make_request(self.identities.key(journal.slot), journal.asked_for))
        done("certificate answered")
        changes = {"certificate": issued.certificate_pem, "token": issued.token, "asked_at": self.clock()}
        journal = self.file.note(journal, "certificate noted", **changes)
        self._keep_certificate(journal)
        return journal

    def _after_used_token(self, journal: Journal, error: UsedTokenError) -> Journal:
        """Take a young token that is used up for what it is: the registration was heard, and its answer was lost.

        It may be old all the same, where the clock stood still while the device was switched off: then no connection is
        made with its certificate, which is forgotten once the clock is right.
        """
        if not journal.token_is_old(self.clock()):
            return self.file.note(journal, "name assumed", thing_name=journal.asked_for, assumed=True)
        self.file.note(journal, "certificate forgotten", certificate=None, token=None)
        raise error

    def _try_old(self, journal: Journal) -> tuple[Journal, Session | None]:
        """Find out by a connection whether a certificate with an old token was registered, or is deleted by now."""
        try:
            session = self.broker.open_as(journal.asked_for, self._pair(journal))
        except NotLetIn:
            forgotten = {"certificate": None, "token": None, "thing_name": None, "assumed": False}
            return self.file.note(journal, "certificate forgotten", **forgotten), None
        except TransportError as error:
            raise not_let_in(journal.asked_for, error, self.file.path) from error
        return self.file.note(journal, "name assumed", thing_name=journal.asked_for, assumed=False), session

    def _prove(self, journal: Journal) -> Session:
        thing = str(journal.thing_name)
        try:
            return self.broker.open_as(thing, self._pair(journal))
        except TransportError as error:
            raise not_let_in(thing, error, self.file.path) from error

    def _pair(self, journal: Journal) -> Pair:
        return Pair(self.identities.certificate(journal.slot), self.identities.key(journal.slot))
