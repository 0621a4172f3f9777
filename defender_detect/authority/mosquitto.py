"""mosquitto as the broker: a listener, who may do what on it, and who is revoked, for Debian's mosquitto 2.

mosquitto becomes its own user before it reads its certificate, so what it reads is that user's, and Detect's own key is
not among it.
"""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from defender_detect.authority.certificates import SERVER, Issuer, hosts_of, list_revoked, pem_of
from defender_detect.authority.directory import OPEN, PRIVATE, PUBLIC, Directory, explained, make_directory, write
from defender_detect.authority.hosts import EVERYWHERE, Hosts
from defender_detect.authority.record import Record, read_record
from defender_detect.authority.serving import DETECT, MOSQUITTO, certify_server, detect_certificate, why_to_certify
from device_defender.report import LARGEST_PAYLOAD

CONFIG, ACCESS, REVOKED = "amazon-defender-detect.conf", "access.acl", "revoked.crl"
CERTIFICATE, KEY = "mosquitto.pem", "mosquitto.key"
USER = "mosquitto"  # as which Debian's runs
TOPIC_AND_HEADER = 1024  # bytes beside the payload
RELOAD = "sudo systemctl reload mosquitto"
RESTART = "sudo systemctl restart mosquitto"

LISTENER = """\
# Written by amazon-defender-detect init: the listener of Detect and its things, for /etc/mosquitto/conf.d.
listener {port}{address}
cafile {roots}
certfile {certificate}
keyfile {key}
crlfile {revoked}
tls_version tlsv1.2
require_certificate true
# Who somebody is stands in the certificate, and counts for the client ID too: no thing can push another out.
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
acl_file {access}
# As much as AWS IoT takes from a thing; what is beyond ends the connection.
max_packet_size {largest}
max_queued_messages 100
"""
ACCESS_LIST = """\
# Written by amazon-defender-detect init: each thing reports for itself, Detect answers and tells of alarms.
pattern write $aws/things/%u/defender/metrics/json
pattern write $aws/things/%u/defender/metrics/cbor
pattern read $aws/things/%u/defender/metrics/+/accepted
pattern read $aws/things/%u/defender/metrics/+/rejected
user {detect}
topic readwrite $aws/things/#
topic write alerts/#
"""


def make(directory: Directory, issuer: Issuer, hosts: Hosts, port: int, now: datetime) -> Iterator[str]:
    """Write what mosquitto reads; the listener and the access list stay as they are if they are there."""
    folder = directory.mosquitto
    make_directory(folder, OPEN)
    names = hosts_of(detect_certificate(directory))
    certificate, key = folder / CERTIFICATE, folder / KEY
    if why_to_certify(certificate, key, issuer.certificate, names):
        certify_server(certificate, key, issuer, MOSQUITTO, names, (SERVER,), now)
    write_revoked(directory, issuer, read_record(directory.record), now)
    if not (folder / ACCESS).exists():
        write(folder / ACCESS, ACCESS_LIST.format(detect=DETECT).encode(), PRIVATE)
    if not (folder / CONFIG).exists():
        write(folder / CONFIG, compose_listener(directory, hosts, port).encode(), PUBLIC)
        yield f"made mosquitto's configuration {folder / CONFIG}"
    for path in (key, folder / ACCESS):
        give_to_mosquitto(path)


def renew(directory: Directory, issuer: Issuer, hosts: Sequence[str], now: datetime) -> Iterator[str]:
    """Issue mosquitto's certificate again, for the same key."""
    certificate, key = directory.mosquitto / CERTIFICATE, directory.mosquitto / KEY
    made = certify_server(certificate, key, issuer, MOSQUITTO, hosts, (SERVER,), now)
    give_to_mosquitto(key)
    yield f"renewed {certificate}, valid until {made.not_valid_after_utc:%Y-%m-%d}"


def is_used(directory: Directory) -> bool:
    """Tell whether mosquitto is a broker here."""
    return (directory.mosquitto / CONFIG).exists()


def write_revoked(directory: Directory, issuer: Issuer, record: Record, now: datetime) -> None:
    """Write the list of the certificates that are revoked, for mosquitto to read when it reloads."""
    serials = [int(each.serial, 16) for each in record.revoked()]
    write(directory.mosquitto / REVOKED, pem_of(list_revoked(issuer, serials, now)), PUBLIC)


def compose_listener(directory: Directory, hosts: Hosts, port: int) -> str:
    """Return mosquitto's configuration; its paths are absolute, because it is read from another directory."""
    folder = directory.mosquitto.resolve()
    address = "" if hosts.listening == EVERYWHERE else f" {hosts.listening}"
    return LISTENER.format(
        port=port, address=address, roots=directory.roots.resolve(), certificate=folder / CERTIFICATE,
        key=folder / KEY, revoked=folder / REVOKED, access=folder / ACCESS,
        largest=LARGEST_PAYLOAD + TOPIC_AND_HEADER,
    )  # fmt: skip


def give_to_mosquitto(path: Path) -> None:
    """Let mosquitto's user own a file, where this is root's to do and there is such a user."""
    account = _account()
    if account is not None and os.geteuid() == 0:
        with explained(path):
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def what_to_do_first(directory: Directory) -> str:
    """Return the command without which mosquitto cannot read its key; empty where it can."""
    account, files = _account(), [directory.mosquitto / name for name in (KEY, ACCESS)]
    if account is None:
        return "sudo apt-get install mosquitto   (and then this again: it is to own its key)"
    if all(each.stat().st_uid == account.pw_uid for each in files):
        return ""
    return f"sudo chown {USER}: {' '.join(shlex.quote(str(each.absolute())) for each in files)}"


def _account() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        return None
