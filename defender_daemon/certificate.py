"""The certificate: the device's own, with its private key, as files in PEM form, and what can be wrong with them."""

from __future__ import annotations

import os
import re
import ssl
import stat
import time
from collections.abc import Iterator
from typing import Any

from defender_daemon.dates import date_text, seconds_of
from defender_daemon.errors import Problem
from defender_daemon.text import quoted

CHECK_CLOCK = "check the clock, and let NTP keep it: timedatectl set-ntp true"
# A certificate and nothing else, of what PEM allows around it; the end of a line may be that of any system.
BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----\r?\n(?:[A-Za-z0-9+/=]+\r?\n)+-----END CERTIFICATE-----")
AS_OWNER = "run this as the user who may read it, or with sudo"
OF_ANOTHER = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")  # the last two of another kind
KEY = "agent.authentication.private_key"
SOON = 56 * 86_400  # seconds before a certificate ends: weeks, because what it is renewed on may hang on a pole
LAST_PART = 3  # of the validity of one that was never to last: its last third is soon


def file_problems(key: str, path: str) -> Iterator[Problem]:
    """Yield what keeps the file at a key of agent.authentication from being read, or lets others read a private key."""
    where = f"agent.authentication.{key}"
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            file.read(1)
    except OSError as error:
        advice = AS_OWNER if isinstance(error, PermissionError) else "put it there, or correct the path"
        yield Problem(f"{where} must be a readable file: {path}: {error.strerror}", advice)
        return
    if key == "private_key" and mode & 0o077 and not _kept_by_systemd(path):
        says = f"{where} must be readable by its owner only, but {path} has mode {mode:04o}"
        yield Problem(says, f"run: chmod 600 {quoted(path)}")


def _kept_by_systemd(path: str) -> bool:
    """Whether systemd's LoadCredential put the file there: it shows mode 0440, the group bits being an ACL's mask."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(directory) and os.path.dirname(path) == os.path.normpath(str(directory))


def certificates_in(pem: str) -> str:
    """Return the certificates of a text without what is around them, empty where there is none.

    What a stranger sends becomes a file of root's, at a path that came with a configuration: it must be nothing else,
    in the eyes of a shell or of cron for instance.
    """
    return "".join(f"{each}\n" for each in BLOCK.findall(pem))


def pair_problems(certificate: str, private_key: str) -> Iterator[Problem]:
    """Yield what is wrong with the content of a certificate and its key: no PEM, a pass phrase, another's key."""
    if not is_certificate(certificate):
        says = f"agent.authentication.certificate must hold a certificate in PEM form: {certificate}"
        yield Problem(says, "copy it to this device again")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, private_key, password=_refuse_password)
    except _EncryptedKeyError:
        says = f"{KEY} must not be encrypted, because a daemon cannot type a pass phrase: {private_key}"
        yield Problem(says, f"decrypt it: openssl pkey -in {quoted(private_key)} -out NEW")
    except ssl.SSLError as error:
        yield _key_problem(error, certificate, private_key)


def _key_problem(error: ssl.SSLError, certificate: str, private_key: str) -> Problem:
    if error.reason in OF_ANOTHER:
        says = f"{KEY} must be the key of agent.authentication.certificate, but {private_key} does not belong to"
        return Problem(f"{says} {certificate}", "install a key and a certificate that were issued together")
    return Problem(f"{KEY} must hold a private key in PEM form: {private_key}", "copy it to this device again")


class _EncryptedKeyError(Exception):
    """OpenSSL asked for a pass phrase."""


def _refuse_password() -> str:
    raise _EncryptedKeyError


def problem_of_dates(certificate: str, now: float | None = None) -> Problem | None:
    """Return what is wrong with the certificate's dates at `now`, None where they hold or cannot be told."""
    now = time.time() if now is None else now
    dates = validity(certificate)
    if dates is None:
        return None
    begins, ends = (date_text(each) for each in dates)
    if now < dates[0]:
        says = f"the certificate {certificate} is valid from {begins} on, but this device's clock says {date_text(now)}"
        return Problem(says, CHECK_CLOCK)
    if now > dates[1]:
        return Problem(f"the certificate {certificate} expired on {ends}", "replace it and its key with new ones")
    return None


def validity(certificate: str) -> tuple[float, float] | None:
    """Return the seconds since the epoch between which the certificate is valid, or None where that is not known."""
    fields = _certificate_fields(certificate)
    if not fields:
        return None
    try:
        return seconds_of(fields["notBefore"]), seconds_of(fields["notAfter"])
    except ValueError:  # OpenSSL prints `Bad time value` for a date that is none
        return None


def ends_soon(begins: float, ends: float, now: float) -> bool:
    """Whether a certificate with this validity (seconds since the epoch) is to be renewed now, or has ended."""
    return ends - now < min(SOON, (ends - begins) / LAST_PART)


def common_name(certificate: str) -> str | None:
    """Return the name that the certificate was issued to, or None if it has none or it cannot be told."""
    subject = (_certificate_fields(certificate) or {}).get("subject", ())
    return next((value for part in subject for name, value in part if name == "commonName"), None)


def certificate_id(certificate: str) -> str:
    """Return the certificate's ID in AWS IoT, which is the SHA-256 fingerprint (the end of its ARN too)."""
    import hashlib  # here, because only the doctor asks

    with open(certificate, encoding="ascii", errors="replace") as file:
        text = file.read()
    begin, end = (text.index(f"-----{word} CERTIFICATE-----") for word in ("BEGIN", "END"))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[begin:end] + "-----END CERTIFICATE-----")).hexdigest()


def is_certificate(path: str) -> bool:
    """Return whether the file holds a certificate in PEM form."""
    return _certificate_fields(path) is not None


def _certificate_fields(path: str) -> dict[str, Any] | None:
    """Return what OpenSSL reads in the certificate, or None for a file that holds none.

    The standard library decodes a certificate only through this private function (there since 2.6); for a Python
    without it the fields are empty.
    """
    decode = getattr(getattr(ssl, "_ssl", None), "_test_decode_cert", None)
    if decode is None:
        return {}
    try:
        return dict(decode(path))
    except (ssl.SSLError, OSError):
        return None
