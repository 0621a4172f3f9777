"""Initialization: an authority, Detect's certificate and a configuration, made in a directory from nothing.

What is there stays as it is, so that a second run changes nothing, or completes what was interrupted.
"""

from __future__ import annotations

import json
import os
import pwd
import shlex
import socket
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from defender_detect.authority import mosquitto
from defender_detect.authority.certificates import LONGEST_COMMON_NAME, Issuer, hosts_of, pem_of
from defender_detect.authority.directory import (
    CLOSED,
    DEFAULT,
    OPEN,
    STATE_OF_SERVICE,
    Directory,
    make_directory,
    read,
    write,
)
from defender_detect.authority.hosts import EVERYWHERE, LOCAL, Hosts, find_hosts
from defender_detect.authority.issuing import check_clock, find_or_make
from defender_detect.authority.passphrase import Passphrase
from defender_detect.authority.record import Record, read_record, write_record
from defender_detect.authority.serving import certify_detect, detect_certificate, why_to_certify
from defender_detect.authority.starting import STARTING_PROFILES
from defender_detect.authority.wishes import Wishes, write_wishes
from defender_detect.errors import AuthorityError

PORT = 8883  # IANA's for MQTT over TLS
NOBODY_YET = "\n".join(
    (
        "# Who is shut out of the built-in broker, a line each: `thing NAME`, or `serial HEX` for one certificate.",
        "# `amazon-defender-detect remove THING` adds lines; the broker reads them within a second.",
        "",
    )
)


@dataclass(frozen=True)
class Wish:
    """What `init` was asked for."""

    hosts: Sequence[str] = ()
    port: int = PORT
    mosquitto: bool = False
    renewal: bool = False


def initialize(directory: Directory, wish: Wish, now: datetime, passphrase: Passphrase) -> Iterator[str]:
    """Make whatever is missing; yield a line for each thing that was made."""
    check_clock(now)
    hosts = find_hosts(wish.hosts)
    refuse_what_others_can_replace(directory.path)
    refuse_somebody_elses(directory)
    check_broker(directory, wish)
    check_renewal(directory, wish, passphrase)
    make_directory(directory.path, OPEN)
    make_directory(directory.authority, CLOSED)
    with directory.locked():
        issuer, is_new = find_or_make(directory, authority_name(), now, passphrase)
        if is_new:
            ends = issuer.certificate.not_valid_after_utc
            yield f"made the authority {directory.authority_certificate}, valid until {ends:%Y-%m-%d}"
        _make_roots(directory, issuer.certificate)
        _make_record(directory)
        yield from _make_certificate(directory, issuer, wish, hosts, now)
        if wish.mosquitto or mosquitto.is_used(directory):
            yield from mosquitto.make(directory, issuer, hosts, wish.port, now)
        if wish.renewal and read(directory.over_the_air) is None:
            write_wishes(directory.over_the_air, Wishes())
            yield f"made {directory.over_the_air}, for things that renew their certificates over the air"
        yield from _make_what_is_edited(directory, wish, hosts)


def refuse_what_others_can_replace(path: Path) -> None:
    """Raise AuthorityError if somebody but us and root could put another authority in the place of ours."""
    for each in (path.absolute(), *path.absolute().parents):
        try:
            found = each.stat()
        except OSError:  # it is not there, or below a file, which is said where it is made
            continue
        if found.st_uid not in (0, os.geteuid()):
            raise AuthorityError(
                f"{each} belongs to {owner_of(found.st_uid)}, who could put another authority in its place: "
                "name a directory that only you or root can write to"
            )
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:  # whose files only their owners remove
            raise AuthorityError(
                f"everybody can write to {each}, and could put another authority in its place: "
                f"chmod o-w {shlex.quote(str(each))}, or name another directory"
            )


def owner_of(uid: int) -> str:
    """Return a user's name, or the number of one that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def refuse_somebody_elses(directory: Directory) -> None:
    """Raise AuthorityError for a directory that holds something else, where an authority is not yet made."""
    path = directory.path
    if not path.exists():
        return
    if not path.is_dir():
        raise AuthorityError(f"{path} must be a directory, and is a file: name another one")
    others = directory.others()
    if others and not directory.authority_certificate.exists():
        named = ", ".join(f"{each!a}" for each in others[:3]) + (" ..." if len(others) > 3 else "")
        raise AuthorityError(f"{path} holds something else ({named}): name an empty directory, or a new one")


def check_broker(directory: Directory, wish: Wish) -> None:
    """Raise AuthorityError if a configuration that is there is for the other broker."""
    content = read(directory.config)
    if content is None:
        return
    try:
        embedded = bool(json.loads(content).get("agent", {}).get("embedded_broker", False))
    except (ValueError, AttributeError) as error:
        raise AuthorityError(f"{directory.config} must be a JSON object, and is not: {error}") from error
    if embedded and wish.mosquitto:
        raise AuthorityError(
            f"{directory.config} is for the built-in broker: set agent.embedded_broker to false and "
            f"agent.authentication.endpoint to {LOCAL[0]}, and run this again"
        )


def check_renewal(directory: Directory, wish: Wish, passphrase: Passphrase) -> None:
    """Raise AuthorityError where certificates cannot be renewed over the air, or cannot be with another broker."""
    if wish.renewal and (wish.mosquitto or mosquitto.is_used(directory)):
        raise AuthorityError(
            "certificates are renewed over the air with the built-in broker only: at mosquitto the answers would go to "
            "everybody who subscribes to them; run init without --renewal"
        )
    if wish.mosquitto and read(directory.over_the_air) is not None:
        raise AuthorityError(
            "certificates of this authority are renewed over the air, and mosquitto cannot know which of them are "
            "registered: run init --mosquitto with another directory, and add every thing there"
        )
    key = read(directory.authority_key)
    has_passphrase = passphrase.wanted or passphrase.file is not None if key is None else b"ENCRYPTED" in key
    if wish.renewal and has_passphrase:
        raise AuthorityError(
            "the service cannot type the pass phrase of the authority's key, which it needs to renew certificates: "
            "run init --renewal with another directory, without a pass phrase, or init without --renewal"
        )


def authority_name() -> str:
    """Return what an authority is called: nothing goes by it, but people who look at certificates."""
    host = socket.gethostname().partition(".")[0]
    return f"amazon-defender-detect authority of {host}"[:LONGEST_COMMON_NAME]


def compose_config(directory: Directory, wish: Wish, hosts: Hosts) -> dict[str, Any]:
    """Return Detect's configuration; its paths are relative to it."""
    authentication = {
        "endpoint": LOCAL[0] if wish.mosquitto and hosts.listening == EVERYWHERE else hosts.listening,
        "port": wish.port,
        "root_ca": directory.roots.name,
        "certificate": directory.certificate.name,
        "private_key": directory.key.name,
    }
    if not wish.mosquitto:
        authentication["revoked"] = directory.revoked.name
    agent = {
        "authentication": authentication,
        "embedded_broker": not wish.mosquitto,
        "state_directory": STATE_OF_SERVICE if directory.path.absolute() == DEFAULT else "state",
    }
    if wish.renewal:
        agent["renewal"] = {"authority": directory.authority.name}
    detect = {"profiles": [directory.profiles.name], "thing_groups": directory.groups.name, "alerts": []}
    return {"agent": agent, "detect": detect}


def _make_roots(directory: Directory, authority: x509.Certificate) -> None:
    """Write whom everybody here trusts; a file that is there may have others besides, while they are exchanged."""
    content = read(directory.roots)
    if content is None:
        write(directory.roots, pem_of(authority))
        return
    try:
        trusted = x509.load_pem_x509_certificates(content)
    except ValueError:
        trusted = []
    if authority not in trusted:
        raise AuthorityError(
            f"{directory.roots} is another authority's: add {directory.authority_certificate} to it, or move it away"
        )


def _make_record(directory: Directory) -> None:
    if read(directory.record) is None:
        write_record(directory.record, Record())
    read_record(directory.record)


def _make_certificate(directory: Directory, issuer: Issuer, wish: Wish, hosts: Hosts, now: datetime) -> Iterator[str]:
    """Issue Detect's certificate where there is none, or none for the hosts that were named this time."""
    wanted = hosts.names if wish.hosts else ()
    why = why_to_certify(directory.certificate, directory.key, issuer.certificate, wanted)
    if why:
        names = hosts.names if why == "made" or wish.hosts else tuple(hosts_of(detect_certificate(directory)))
        certify_detect(directory, issuer, names, now)
        shown = ", ".join(each for each in names if each not in LOCAL) or "this machine only"
        yield f"{why} Detect's certificate {directory.certificate}, for {shown}"


def _make_what_is_edited(directory: Directory, wish: Wish, hosts: Hosts) -> Iterator[str]:
    """Write what people edit, the configuration last; what is there is theirs."""
    if read(directory.config) is not None:
        return
    make_directory(directory.profiles, OPEN)
    for profile in STARTING_PROFILES:
        _write_missing(directory.profiles / f"{profile['securityProfileName']}.json", _json(profile))
    _write_missing(directory.groups, _json({}))
    _write_missing(directory.revoked, NOBODY_YET.encode())
    write(directory.config, _json(compose_config(directory, wish, hosts)))
    yield f"made the configuration {directory.config}"


def _write_missing(path: Path, content: bytes) -> None:
    if read(path) is None:
        write(path, content)


def _json(document: object) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
