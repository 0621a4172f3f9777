"""The renewal of certificates over the air: AWS's topics and documents, answered by an authority of one's own.

A thing asks as it would ask AWS's fleet provisioning, with the certificate that it has as the claim; that it should is
a wish in its named shadow `rotation`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from defender_daemon.certificate import LAST_PART, SOON
from defender_daemon.dates import EPOCH
from defender_detect.authority.documents import (
    Creation,
    Registration,
    Update,
    delta_of,
    encode,
    no_shadow,
    read_question,
    refusal,
    shadow_of,
)
from defender_detect.authority.renewals import OVER_THE_AIR, Renewals, read_renewals
from defender_detect.authority.wishes import Wishes, read_wishes
from defender_detect.errors import AuthorityError, RequestRefused
from defender_detect.receive.asking import Reply
from defender_detect.receive.gate import Peer
from defender_detect.receive.notices import Notices
from device_defender.metrics import is_thing_name

if TYPE_CHECKING:
    from defender_detect.authority.registrar import Asker, Registrar

TEMPLATE = "amazon-defender-rotate"
CREATE = "$aws/certificates/create-from-csr/json"
REGISTER = f"$aws/provisioning-templates/{TEMPLATE}/provision/json"
FILTERS = frozenset(f"{topic}/{end}" for topic in (CREATE, REGISTER) for end in ("accepted", "rejected", "+"))
SHADOW = "$aws/things/{}/shadow/name/rotation"
AT_ONCE, EVERY = 20, 30.0  # requests of a thing, and seconds for each further one: a device needs two in a year
WORTH_IT = 86_400  # seconds that another certificate must last longer
LOOK_EVERY = 60.0  # seconds between two looks for certificates that end soon
CLOCK_SKEW = 300  # seconds by which certificates begin before they are issued
REMOVED = "is shut out"

log = logging.getLogger(__name__)


class Allowance:
    """How many requests each thing may make: some at once, and then one now and then."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}  # how many, and when that was

    def take(self, thing: str, now: float) -> bool:
        """Count a request; return whether there was one left. Those that are refused cost nothing."""
        left, since = self._left.get(thing, (float(AT_ONCE), now))
        left = min(float(AT_ONCE), left + max(0.0, now - since) / EVERY)
        self._left[thing] = (left - 1 if left >= 1 else left, now)
        return left >= 1


class Renewal:
    """Answers things that ask for certificates, and knows which of those let them in.

    Without a registrar nothing is answered; what was issued before counts nevertheless.
    """

    def __init__(self, state: Path | None, wishes: Path, registrar: Registrar | None = None) -> None:
        """Read what is kept; raise AuthorityError if it is damaged."""
        self.filters = frozenset(
            f"{topic}/{end}" for topic in (CREATE, REGISTER) for end in ("accepted", "rejected", "+")
        )
        self.filters = self.filters if registrar is not None else frozenset()
        self._state, self._wishes_path, self._registrar = state, wishes, registrar
        self._renewals = read_renewals(state) if state is not None else Renewals()
        self._seen = _look(wishes)
        self._wishes = read_wishes(wishes) if registrar is not None or self._seen else Wishes()
        self._allowance, self._notices = Allowance(), Notices(log)
        self._changed = threading.Event()  # since `refresh` was called last
        self._told: dict[str, int] = {}  # thing -> the wish that it was told of
        self._look_at = 0.0

    def is_question(self, peer: Peer, topic: str) -> bool:
        """Tell whether a message to a topic is a question of a thing."""
        if self._registrar is None or peer.is_detect or not is_thing_name(peer.name):
            return False
        own = SHADOW.format(peer.name)
        return topic in (CREATE, REGISTER, f"{own}/get", f"{own}/update")

    def answer(self, peer: Peer, topic: str, payload: bytes, now: float) -> list[Reply]:
        """Answer a question in AWS's documents; whatever goes wrong is an answer, too."""
        try:
            if topic == CREATE:
                return [Reply(f"{topic}/accepted", self._create(peer, payload, now))]
            if topic == REGISTER:
                return [Reply(f"{topic}/accepted", self._register(peer, payload, now))]
            if topic.endswith("/get"):
                return [self._get(peer, topic, now)]
            return [self._update(peer, topic, payload, now)]
        except RequestRefused as error:
            self._notices.say((peer.account, error.code), f"{peer}: {error.code}: {error}")
            return [Reply(f"{topic}/rejected", refusal(error))]
        except AuthorityError as error:  # the disk is full
            log.error("%s", error)
            return [Reply(f"{topic}/rejected", refusal(RequestRefused(500, "InternalServerError", "try again later")))]

    def reason_against(self, peer: Peer) -> str | None:
        """Return why a certificate lets nobody in: it was never registered, or another one has replaced it."""
        if peer.is_detect:
            return None
        renewed, serial = self._renewals.of(peer.name), f"{peer.serial:X}"
        for each in (renewed.registered, renewed.in_force):
            if each is not None and each.serial == serial and self._wishes.covers(peer.name, each.issued):
                return REMOVED
        issued = peer.validity[0] + CLOCK_SKEW if peer.validity is not None else 0.0
        return renewed.reason_against(serial, peer.unit == OVER_THE_AIR, issued)

    def refresh(self) -> bool:
        """Read the wishes if they have changed; return whether other certificates let somebody in."""
        seen = _look(self._wishes_path)
        if changed := self._changed.is_set():
            self._changed.clear()
        if seen == self._seen:
            return changed
        self._seen, self._look_at = seen, 0.0
        try:
            self._wishes = read_wishes(self._wishes_path)
        except AuthorityError as error:
            log.error("the wishes stay as they were: %s", error)
            return changed
        return True

    def news(self, peers: Iterable[Peer], now: float) -> list[Reply]:
        """Return the wishes that have come up, for the things that are connected."""
        if self._registrar is None or 0 <= now - self._look_at < LOOK_EVERY:
            return []
        self._look_at, replies = now, []
        for peer in peers:
            wanted = None if peer.is_detect else self._wish(peer, now)
            if wanted is not None and self._told.get(peer.name) != wanted:
                self._told[peer.name] = wanted
                replies.append(Reply(f"{SHADOW.format(peer.name)}/update/delta", delta_of(wanted, now)))
        return replies

    def _create(self, peer: Peer, payload: bytes, now: float) -> bytes:
        asker, registrar = self._admit(peer, now)
        created = registrar.create(asker, read_question(payload, Creation).certificateSigningRequest, now)
        log.info("%s: is issued a certificate over the air, %s", peer, created.identifier)
        return encode(
            {
                "certificateOwnershipToken": created.token,
                "certificateId": created.identifier,
                "certificatePem": created.pem,
            }
        )

    def _register(self, peer: Peer, payload: bytes, now: float) -> bytes:
        asker, registrar = self._admit(peer, now)
        asked = read_question(payload, Registration)
        if asked.parameters.get("ThingName", peer.name) != peer.name:
            raise RequestRefused(
                403, "AccessDenied", f"the certificate of this connection is that of {peer.name} alone"
            )
        registrar.register(asker, asked.certificateOwnershipToken, now)
        self._reread()
        log.info("%s: has registered a certificate, which lets it in as well", peer)
        return encode({"deviceConfiguration": {}, "thingName": peer.name})

    def _get(self, peer: Peer, topic: str, now: float) -> Reply:
        wanted = self._wish(peer, now)
        if wanted is None:
            return Reply(f"{topic}/rejected", no_shadow())
        self._told[peer.name] = wanted
        return Reply(f"{topic}/accepted", shadow_of(wanted, now))

    def _update(self, peer: Peer, topic: str, payload: bytes, now: float) -> Reply:
        """Take what a thing reports; that it uses the certificate that it registered ends the ones from before."""
        reported = read_question(payload, Update).certificate
        waiting = self._renewals.of(peer.name).registered
        if reported is not None and waiting is not None and waiting.serial == f"{peer.serial:X}":
            assert self._registrar is not None
            if self._registrar.commit(_asker(peer), reported, now):
                self._reread()
                log.info("%s: uses it from now on, and its certificates from before are revoked", peer)
        document = {"state": {"reported": {"certificateId": reported}}, "version": int(now), "timestamp": int(now)}
        return Reply(f"{topic}/accepted", encode(document))

    def _admit(self, peer: Peer, now: float) -> tuple[Asker, Registrar]:
        """Return who asks and who answers, unless the thing has asked too often."""
        assert self._registrar is not None
        if not self._allowance.take(peer.name, now):
            raise RequestRefused(429, "Throttled", f"a thing has {AT_ONCE} requests, and another one every {EVERY:g} s")
        return _asker(peer), self._registrar

    def _wish(self, peer: Peer, now: float) -> int | None:
        """Return since when a thing is to renew its certificate: it was asked for, or that ends soon."""
        wanted = self._wishes.open_for(peer.name, self._renewals.of(peer.name))
        if wanted is not None or peer.validity is None or self._registrar is None:
            return wanted
        begins, ends = peer.validity
        due = ends - min(SOON, (ends - begins) / LAST_PART)
        is_of_use = (self._registrar.end(now).replace(tzinfo=None) - EPOCH).total_seconds() - ends > WORTH_IT
        return int(due) if now > due and is_of_use else None

    def _reread(self) -> None:
        if self._state is not None:
            self._renewals = read_renewals(self._state)
        self._changed.set()


def _asker(peer: Peer) -> Asker:
    from defender_detect.authority.registrar import Asker

    return Asker(peer.name, f"{peer.serial:X}", peer.certificate, peer.unit == OVER_THE_AIR)


def _look(path: Path) -> tuple[int, ...] | None:
    """Return what changes with a file; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
