"""The credentials: the device's certificate, its private key, and the authorities it trusts."""

from __future__ import annotations

import os
import shlex
import ssl
import stat
import time
from collections.abc import Iterator

from defender_publisher.config import Authentication


def credential_problems(authentication: Authentication) -> list[str]:
    """Return a sentence for everything that keeps the files from being used (their dates are `validity_problem`)."""
    paths = {"root_ca": authentication.root_ca}
    if authentication.method == "certificate":
        paths = {"certificate": authentication.certificate, "private_key": authentication.private_key, **paths}
    problems = [each for key, path in paths.items() if path for each in _file_problems(key, path)]
    return problems or list(_content_problems(authentication))


def validity_problem(certificate: str, now: float | None = None) -> str | None:
    """Return a sentence if the certificate is not valid at `now` (seconds since the epoch, default: now)."""
    now = time.time() if now is None else now
    dates = _certificate_dates(certificate)
    if dates is None:
        return None
    begins, ends = (ssl.cert_time_to_seconds(each) for each in dates)
    if now < begins:
        return (
            f"the certificate {certificate} is valid from {dates[0]} on, but this device's clock says {_day(now)}: "
            "check the clock"
        )
    if now > ends:
        return f"the certificate {certificate} expired on {dates[1]}: put a new one with its key in its place"
    return None


def _file_problems(key: str, path: str) -> Iterator[str]:
    where = f"agent.authentication.{key}"
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            file.read(1)
    except OSError as error:
        yield f"{where} must be a readable file: {path}: {error.strerror}"
        return
    if key == "private_key" and mode & 0o077 and not _kept_by_systemd(path):
        yield (
            f"{where} must be readable by its owner only, but {path} has mode {mode:04o}; "
            f"run: chmod 600 {shlex.quote(path)}"
        )


def _kept_by_systemd(path: str) -> bool:
    """Whether systemd's LoadCredential put the file there: it shows mode 0440, the group bits being an ACL's mask."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(directory) and os.path.dirname(path) == os.path.normpath(str(directory))


def _content_problems(authentication: Authentication) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authentication.root_ca:
        try:
            context.load_verify_locations(authentication.root_ca)
        except ssl.SSLError:
            yield f"agent.authentication.root_ca must hold certificates in PEM form: {authentication.root_ca}"
    if authentication.method == "certificate" and authentication.certificate and authentication.private_key:
        yield from _pair_problems(context, authentication.certificate, authentication.private_key)


def _pair_problems(context: ssl.SSLContext, certificate: str, private_key: str) -> Iterator[str]:
    if _certificate_dates(certificate) is None:
        yield f"agent.authentication.certificate must hold a certificate in PEM form: {certificate}"
        return
    try:
        context.load_cert_chain(certificate, private_key, password=_refuse_password)
    except _EncryptedKeyError:
        yield (
            "agent.authentication.private_key must not be encrypted, because a daemon can not type a pass phrase: "
            + private_key
        )
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            yield (
                f"agent.authentication.private_key must be the key of agent.authentication.certificate, "
                f"but {private_key} does not belong to {certificate}"
            )
        else:
            yield f"agent.authentication.private_key must hold a private key in PEM form: {private_key}"


class _EncryptedKeyError(Exception):
    """OpenSSL asked for a pass phrase."""


def _refuse_password() -> str:
    raise _EncryptedKeyError


def _certificate_dates(path: str) -> tuple[str, str] | None:
    """Return notBefore and notAfter as OpenSSL writes them, or None for a file that holds no certificate.

    The standard library decodes a certificate only through this private function (there since 2.6); a Python without
    it skips the check.
    """
    decode = getattr(getattr(ssl, "_ssl", None), "_test_decode_cert", None)
    if decode is None:
        return None
    try:
        fields = decode(path)
    except (ssl.SSLError, OSError):
        return None
    return fields["notBefore"], fields["notAfter"]


def _day(now: float) -> str:
    return time.strftime("%b %d %H:%M:%S %Y GMT", time.gmtime(now))
