"""The rotation: another key and certificate replace those in force, and the device is never without a pair.

The second pair is asked for with the first as the claim. It is in force once it was let in; then the device says so
over a connection with it (the commitment), and the cloud's side makes the first certificate inactive.
"""

import time
from functools import partial
from pathlib import Path
from typing import Optional

import msgspec

from defender_daemon import files
from defender_daemon.certificate import ends_soon, problem_of_dates, validity
from defender_daemon.dates import minute_text
from defender_publisher.diagnosis import SILENT
from defender_publisher.errors import ConfigError, NotConnected, Problem, TransportError
from defender_publisher.provisioning.broker import Broker, Pair
from defender_publisher.provisioning.claim import is_provisioned, parameters_of
from defender_publisher.provisioning.enrollment import Enrollment
from defender_publisher.provisioning.errors import COMMIT, TEMPLATE, ProvisioningError
from defender_publisher.provisioning.identities import Identities, Slot
from defender_publisher.provisioning.journal import Journal, JournalFile
from defender_publisher.provisioning.progress import done
from defender_publisher.provisioning.refusals import not_let_in
from defender_publisher.provisioning.wish import SHADOW, Wish, forget_wish, read_wish
from defender_publisher.session import Session
from defender_publisher.settings import Settings

FULFILLED = "fulfilled.json"  # in etc/identities: the last wish that was fulfilled, which the daemon may hear again
DAY = 86_400  # seconds
HALF = 2  # of its validity a certificate is in force at least where it had ended when it was taken, by a wrong clock
MOST_ATTEMPTS = 3  # that fail for something that somebody must change, before it is tried once a day only
ONCE_A_DAY = 20 * 3600.0  # seconds; the timer looks daily, at any hour


class Rotation:
    """The replacement of a device's pair, from wherever an earlier run was ended."""

    def __init__(self, settings: Settings, identities: Identities, file: JournalFile, broker: Broker) -> None:
        self._settings = settings
        self._identities = identities
        self._file = file
        self._broker = broker
        self._state = Path(str(settings.agent.state_directory))
        self._fulfilled = identities.directory / FULFILLED

    def check(self) -> None:
        """Raise ConfigError where there is nothing to replace, or no template to do it by."""
        given, path = self._settings.agent.provisioning, self._settings.path
        if given is None or given.rotation_template is None:
            raise ConfigError(["agent.provisioning.rotation_template is missing; it names the template that rotates"])
        journal = self._file.read()
        unfinished = journal is not None and journal.purpose == "claim"
        if unfinished or not is_provisioned(self._settings, self._identities):
            raise ConfigError([f"this device has no certificate to replace; run --provision {path} first"])

    @property
    def wish(self) -> Optional[str]:
        """The wish that the daemon has heard, and that was not fulfilled yet."""
        wish = read_wish(self._state)
        return None if wish == self._last_fulfilled() else wish

    def reason(self, now: float) -> str:
        """Return why the pair is to be replaced now, empty where it is not due."""
        if self.rests(now):
            return ""
        if self._file.read() is not None:
            return "an earlier run was not finished"
        if self.wish is not None:
            return f"it was asked for at {self.wish}"
        return self._age(now)

    def rests(self, now: float) -> str:
        """Return why what is due is not tried now, empty where that is not so: several attempts in a row have failed.

        Each attempt stops the daemon, and what no policy allows is not allowed a quarter of an hour later. The day is
        that of the last failure that counts: an outage since then neither begins another one nor ends it.
        """
        journal = self._file.read()
        failure = journal.failure if journal is not None else None
        if failure is None or failure.final or failure.count < MOST_ATTEMPTS:
            return ""  # what is refused for good is not tried every quarter of an hour by anybody
        if not 0 <= now - failure.counted_at < ONCE_A_DAY:
            return ""
        attempts = f"{failure.count} attempts in a row have failed (the last one: {failure.counted})"
        return f"{attempts}, and it is tried once a day; at once by --rotate"

    def clock_problem(self, now: float) -> Optional[Problem]:
        """Return what is wrong with a clock by which the certificate in force is yet to begin, None where it is not."""
        certificate = str(self._settings.agent.authentication.certificate)
        dates = validity(certificate)
        return problem_of_dates(certificate, now) if dates is not None and now < dates[0] else None

    def rotate(self) -> str:
        """Replace the pair, and say so to the cloud's side; return the new certificate's ID.

        Raises ProvisioningError.
        """
        journal = self._file.read()
        if self._identities.take_over() or (journal is not None and not self._is_about_this(journal)):
            self._file.remove()  # it was about the pair before
            journal = None
        journal = journal or self._begin()
        session = None
        if self._identities.in_force != journal.slot:
            journal, session = self._replace(journal)
        if not journal.turned:  # also where a run was ended between the turn and this
            journal = self._file.note(journal, "turn noted", turned=True, failure=None)
        self._commit(journal, session or self._connect(journal))
        return self._finish(journal)

    def _is_about_this(self, journal: Journal) -> bool:
        endpoint = str(self._settings.agent.authentication.endpoint)
        return journal.is_for("rotation", endpoint, self._settings.thing_name)

    def _begin(self) -> Journal:
        slot = self._identities.spare
        self._identities.clear(slot)
        endpoint = str(self._settings.agent.authentication.endpoint)
        begun = Journal("rotation", slot, endpoint, self._settings.thing_name, self.wish)
        return self._file.note(begun, "begun")

    def _replace(self, journal: Journal) -> tuple[Journal, Session]:
        thing, given = self._settings.thing_name, self._settings.agent.provisioning
        assert given is not None  # it was checked
        own = self._pair(self._in_force)
        connect = partial(self._broker.asker, thing, own, str(given.rotation_template), rotates=True)
        parameters = parameters_of(self._settings)
        enrollment = Enrollment(self._identities, self._file, self._broker, connect, parameters)
        journal, session = enrollment.obtain(journal)
        if journal.thing_name != thing:
            session.close()
            says = f"{given.rotation_template} registered the certificate for {journal.thing_name}, not for {thing}"
            raise ProvisioningError(
                TEMPLATE, Problem(says, "let the template take ThingName for its thing"), final=True
            )
        self._identities.turn(journal.slot)
        return journal, session

    def _connect(self, journal: Journal) -> Session:
        thing = self._settings.thing_name
        try:
            return self._broker.open_as(thing, self._pair(journal.slot))
        except TransportError as error:
            raise not_let_in(thing, error, self._file.path) from error

    def _commit(self, journal: Journal, session: Session) -> None:
        """Say over the new connection that its pair is in use; the cloud's side then ends the other certificates."""
        reported = {"certificateId": self._identities.certificate_id(journal.slot)}
        if journal.wish is not None:
            reported["rotate"] = journal.wish
        topic = f"{SHADOW.format(thing=self._settings.thing_name)}/update"
        try:
            session.deliver(topic, msgspec.json.encode({"state": {"reported": reported}}))
        except NotConnected as error:
            says = f"the new certificate is in use, and {topic} was not acknowledged: {error.problem.says}"
            problem = Problem(says, f"let its policy allow iot:Publish on topic/{topic}")
            # AWS IoT hangs up where a policy does not allow it; silence is a dead connection, or a throttled one.
            raise ProvisioningError(COMMIT, problem, passes=error.problem == SILENT) from error
        finally:
            session.close()
        done("committed")

    def _finish(self, journal: Journal) -> str:
        """Note that the wish is fulfilled, and which pair is not in force any more; the journal goes last."""
        if journal.wish is not None:
            files.replace(self._fulfilled, msgspec.json.encode(Wish(journal.wish)), sync=True, mode=0o644)
            done("fulfilment noted")
            if self._wish_is(journal.wish):
                forget_wish(self._state)
        now = time.time()
        self._identities.note_taken(journal.slot, now)
        self._identities.retire(self._identities.spare, minute_text(now))
        done("retired")
        self._file.remove()
        return self._identities.certificate_id(journal.slot)

    def _wish_is(self, wish: str) -> bool:
        return read_wish(self._state) == wish  # or there is another one by now

    def _last_fulfilled(self) -> Optional[str]:
        try:
            return msgspec.json.decode(files.read(self._fulfilled), type=Wish).rotate
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def _age(self, now: float) -> str:
        """Return how old the certificate is, or when it ends, if it is to be replaced for that.

        By a clock that is years ahead each new certificate is as old, and ends as soon, as the one before. So one that
        this device asked for is as old as the time that it has been in force by this same clock. When it ends is its
        own end all the same.
        """
        given, certificate = self._settings.agent.provisioning, self._settings.agent.authentication.certificate
        dates = validity(str(certificate))
        if given is None or dates is None:
            return ""
        begins, ends = dates
        taken = self._identities.taken(now)
        if ends_soon_since(begins, ends, taken, now):
            return f"the certificate ends on {minute_text(ends)}"
        days, most = int((now - max(begins, taken or begins)) // DAY), given.rotate_after_days
        if most is None or days < most:
            return ""
        return f"the certificate is {days} days old, and agent.provisioning.rotate_after_days is {most}"

    @property
    def _in_force(self) -> Slot:
        slot = self._identities.in_force
        assert slot is not None  # whatever was there was taken over
        return slot

    def _pair(self, slot: Slot) -> Pair:
        return Pair(self._identities.certificate(slot), self._identities.key(slot))


def ends_soon_since(begins: float, ends: float, taken: Optional[float], now: float) -> bool:
    """Whether a certificate that is in force since `taken` is to be replaced before it ends.

    One that was taken late, because a run was finished late or by a clock that was ahead, is so in the last third of
    what was left of it then: later than another, which keeps such a clock from a rotation at each look, and always
    before its end. One that had ended when it was taken says nothing but that the clock is wrong by more than it lasts.
    """
    if taken is not None and taken >= ends:
        return now - taken > (ends - begins) / HALF
    return ends_soon(max(begins, taken or begins), ends, now)
