"""The claim: a device that has no certificate of its own gets one, with the claim certificate that its fleet shares."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from defender_daemon import files
from defender_daemon.certificate import file_problems, pair_problems
from defender_daemon.config import Provisioning
from defender_daemon.config_file import read_json
from defender_daemon.identity import serial_of
from defender_publisher.errors import ConfigError
from defender_publisher.provisioning.broker import Broker, Pair
from defender_publisher.provisioning.calls import Asker
from defender_publisher.provisioning.enrollment import Enrollment
from defender_publisher.provisioning.identities import Identities
from defender_publisher.provisioning.journal import Journal, JournalFile
from defender_publisher.provisioning.progress import done
from defender_publisher.settings import Settings

CLIENT_ID = "claim-{thing}"  # what a claim's policy allows: client/claim-*
NAMES = {  # of the claim's files, for messages about the device's own
    "agent.authentication.certificate": "agent.provisioning.claim_certificate",
    "agent.authentication.private_key": "agent.provisioning.claim_private_key",
}


def identities_of(settings: Settings) -> Identities:
    """Return the device's identities, beside its configuration; raises ConfigError where there is none."""
    authentication, path = settings.agent.authentication, settings.path
    if path is None:
        raise ConfigError(["a configuration file is needed, beside which the certificate is put; name it"])
    certificate, private_key = authentication.certificate, authentication.private_key
    assert certificate is not None  # the rules say so
    assert private_key is not None
    if certificate == private_key:
        raise ConfigError(["agent.authentication.certificate and private_key must be two files, not one"])
    return Identities(path.absolute().parent, Path(certificate), Path(private_key))


def is_provisioned(settings: Settings, identities: Identities) -> bool:
    """Whether there is a pair, also one that somebody else put there.

    Raises ConfigError for half of one, and for a pair that does not belong together.
    """
    there = identities.configured
    if not there:
        return False
    authentication = settings.agent.authentication
    paths = Path(str(authentication.certificate)), Path(str(authentication.private_key))
    missing = [path for path in paths if path not in there]
    if missing:
        raise ConfigError([f"{there[0]} is there and {missing[0]} is not; put it back, or remove {there[0]}"])
    problems = [str(each) for each in pair_problems(*map(str, paths))]
    if problems:
        raise ConfigError(problems)
    return True


def claim_problems(given: Provisioning | None) -> list[str]:
    """Return what keeps the claim from being used: keys that are missing, files that cannot be read or do not match."""
    if given is None or given.template is None:
        return ["agent.provisioning.template is missing; it names the provisioning template that registers this device"]
    if given.claim_certificate is None or given.claim_private_key is None:
        return ["agent.provisioning.claim_certificate and claim_private_key are missing; they let this device ask"]
    pair = given.claim_certificate, given.claim_private_key
    found = [each for key, path in zip(("certificate", "private_key"), pair) for each in file_problems(key, path)]
    return [_renamed(str(each)) for each in found or pair_problems(*pair)]


def _renamed(problem: str) -> str:
    for ours, claims in NAMES.items():
        problem = problem.replace(ours, claims)
    return problem


def parameters_of(settings: Settings) -> dict[str, str]:
    """Return what a template is given: the thing's name, the serial number, and what the configuration adds."""
    thing, instance, given = settings.thing_name, settings.agent.instance, settings.agent.provisioning
    serial = serial_of(instance) if instance.serial or instance.command else thing
    return {"ThingName": thing, "SerialNumber": serial, **(given.parameters if given else {})}


def provision(settings: Settings, identities: Identities, file: JournalFile, broker: Broker) -> str:
    """Get the device its first pair, from wherever an earlier run was ended; return the name of its thing.

    Raises ProvisioningError, and ConfigError where the claim cannot be used.
    """
    given, endpoint = settings.agent.provisioning, str(settings.agent.authentication.endpoint)
    journal = file.read()
    if journal is not None and not journal.is_for("claim", endpoint, settings.thing_name):
        journal = None
    if journal is None or journal.thing_name is None:
        problems = claim_problems(given)
        if problems:
            raise ConfigError(problems)
    if journal is None:
        identities.clear(identities.spare)
        journal = file.note(Journal("claim", identities.spare, endpoint, settings.thing_name), "begun")
    enrollment = Enrollment(identities, file, broker, connection(settings, broker), parameters_of(settings))
    journal, session = enrollment.obtain(journal)
    session.close()
    _put_in_place(settings, identities, file, journal)
    return str(journal.thing_name)


def connection(settings: Settings, broker: Broker) -> Callable[[], AbstractContextManager[Asker]]:
    """Return what connects with the claim, to ask; raises ProvisioningError."""
    given = settings.agent.provisioning or Provisioning()
    claim = Pair(Path(str(given.claim_certificate)), Path(str(given.claim_private_key)))
    return partial(broker.asker, CLIENT_ID.format(thing=settings.thing_name), claim, str(given.template), rotates=False)


def _put_in_place(settings: Settings, identities: Identities, file: JournalFile, journal: Journal) -> None:
    """Let the daemon find the pair, and then the name that it is for; the journal goes last."""
    identities.turn(journal.slot)
    identities.show()
    identities.note_taken(journal.slot, time.time())
    if journal.thing_name != settings.thing_name:
        assert settings.path is not None
        write_thing_name(settings.path.resolve(), str(journal.thing_name))
    file.remove()


def write_thing_name(path: Path, thing: str) -> None:
    """Write the name that a template gave into a configuration, all else of which stays."""
    raw, found = read_json(path), path.stat()
    raw.setdefault("agent", {})["thing_name"] = thing
    content = json.dumps(raw, indent=2, ensure_ascii=False).encode() + b"\n"
    owner = (found.st_uid, found.st_gid) if os.geteuid() == 0 else None
    files.replace(path, content, sync=True, mode=stat.S_IMODE(found.st_mode), owner=owner)
    done("configuration placed")
