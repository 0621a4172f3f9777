"""Credentials for AWS: from AWS IoT by the device's certificate, or from the places that AWS's own tools look in.

https://docs.aws.amazon.com/iot/latest/developerguide/authorizing-direct-aws.html has AWS IoT's credentials provider.
"""

from __future__ import annotations

import datetime
import http.client
import json
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from defender_cloudwatch.connection import Answer, Identity, IdentityError, Way, request
from defender_cloudwatch.errors import CredentialsError
from defender_cloudwatch.signature import Credentials

log = logging.getLogger("defender_cloudwatch")

REFRESHED_AT = 0.75  # of their life; what fails then is tried again while they still hold
LONGEST_LIFE = 12 * 3600.0  # seconds; an answer that says more is not believed
FULL_URI, TOKEN = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"
SHOWN = 200  # characters of an answer that a message repeats

Source = Callable[[], Credentials]


class Keeper:
    """Keeps credentials, and gets new ones from `source` before they expire."""

    def __init__(self, source: Source, clock: Callable[[], float] = time.time) -> None:
        self._source, self._clock = source, clock
        self._lock = threading.Lock()
        self._kept: Credentials | None = None
        self._refresh_at = 0.0

    def get(self) -> Credentials:
        """Return credentials that hold; raises CredentialsError where there are none."""
        with self._lock:
            now = self._clock()
            if self._kept is None or now >= self._refresh_at:
                try:
                    self._keep(self._source(), now)
                except CredentialsError as error:
                    if self._kept is None or self._kept.expires is None or now >= self._kept.expires:
                        raise
                    log.warning("the AWS credentials could not be refreshed; the current ones are used: %s", error)
            assert self._kept is not None
            return self._kept

    def forget(self) -> None:
        """Ask for new ones the next time: those that are kept were refused."""
        self._kept = None

    def _keep(self, credentials: Credentials, now: float) -> None:
        self._kept = credentials
        life = LONGEST_LIFE if credentials.expires is None else credentials.expires - now
        self._refresh_at = now + REFRESHED_AT * min(life, LONGEST_LIFE)


def of_device(endpoint: str, role_alias: str, thing_name: str, identity: Identity, way: Way) -> Source:
    """Return the source that asks AWS IoT's credentials provider, as the thing; `endpoint` is a host, port optional."""
    url = f"https://{endpoint}/role-aliases/{quote(role_alias, safe='')}/credentials"

    def ask() -> Credentials:
        try:
            answer = request("GET", url, {"x-amzn-iot-thingname": thing_name}, way=way, identity=identity)
        except (OSError, http.client.HTTPException) as error:
            raise CredentialsError(_explain_failure(error, endpoint)) from error
        if answer.status != http.client.OK:
            raise CredentialsError(_explain_refusal(answer, endpoint, role_alias, thing_name))
        return _read(answer, "credentials", endpoint)

    return ask


def of_container(environment: Mapping[str, str]) -> Source:
    """Return the source that a Greengrass core's token exchange service is, or a container's own."""
    url, token = environment[FULL_URI], environment.get(TOKEN, "")

    def ask() -> Credentials:
        try:
            answer = request("GET", url, {"Authorization": token} if token else {})
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise CredentialsError(f"the container's credentials cannot be had from {url}: {error}") from error
        if answer.status != http.client.OK:
            raise CredentialsError(f"the container's credentials were refused by {url}: {_text(answer)}")
        return _read(answer, "", url)

    return ask


def of_surroundings(environment: Mapping[str, str]) -> Source:
    """Return the source among AWS's usual places: environment, container, credentials file, in this order."""
    if environment.get("AWS_ACCESS_KEY_ID") and environment.get("AWS_SECRET_ACCESS_KEY"):
        return lambda: Credentials(
            environment["AWS_ACCESS_KEY_ID"],
            environment["AWS_SECRET_ACCESS_KEY"],
            environment.get("AWS_SESSION_TOKEN", ""),
        )
    return of_container(environment) if environment.get(FULL_URI) else lambda: _of_file(environment)


def _of_file(environment: Mapping[str, str]) -> Credentials:
    import configparser  # here, because a device with a certificate does without

    default = Path(environment.get("HOME", "/nonexistent")) / ".aws" / "credentials"
    path = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or default)
    profile = environment.get("AWS_PROFILE") or "default"
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text("utf-8"), str(path))
        if not parser.has_section(profile):
            raise CredentialsError(f"{path} has no profile {profile}")
        section = parser[profile]
        return Credentials(
            section["aws_access_key_id"], section["aws_secret_access_key"], section.get("aws_session_token", "")
        )
    except FileNotFoundError as error:
        raise CredentialsError(
            "there are no AWS credentials: set agent.authentication.credentials (endpoint and role_alias), or "
            f"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write {path}"
        ) from error
    except OSError as error:
        raise CredentialsError(f"the AWS credentials in {path} cannot be read: {error.strerror}") from error
    except (configparser.Error, UnicodeDecodeError) as error:
        raise CredentialsError(f"the AWS credentials in {path} are not in the format of the AWS CLI") from error
    except KeyError as error:
        raise CredentialsError(f"{path} has no {error.args[0]} in the profile {profile}") from error


def _read(answer: Answer, key: str, where: str) -> Credentials:
    """Read an answer: AWS IoT's names begin with small letters, a container's with capitals."""
    try:
        document: Any = json.loads(answer.body)
        found = document[key] if key else document
        names = {name.lower(): value for name, value in found.items()}
        token = names.get("sessiontoken") or names.get("token")
        return Credentials(str(names["accesskeyid"]), str(names["secretaccesskey"]), str(token or ""), _expiry(names))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CredentialsError(f"{where} answered with something that is not AWS credentials") from error


def _expiry(names: Mapping[str, Any]) -> float:
    text = str(names["expiration"]).replace("Z", "+00:00")  # which Python reads by itself from 3.11 on
    expiry = datetime.datetime.fromisoformat(text)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (expiry - epoch).total_seconds()


def _explain_failure(error: Exception, endpoint: str) -> str:
    if isinstance(error, IdentityError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {endpoint} was not accepted ({error.verify_message}): check "
            "agent.authentication.credentials.endpoint, agent.authentication.root_ca and this device's clock"
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"the TLS connection to {endpoint} failed ({error.reason or error}): the device's certificate is refused, "
            "or the endpoint is not a credentials provider (`aws iot describe-endpoint --endpoint-type "
            "iot:CredentialProvider`)"
        )
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"the credentials provider {endpoint} cannot be reached: {reason}"


def _explain_refusal(answer: Answer, endpoint: str, role_alias: str, thing_name: str) -> str:
    said = _text(answer)
    if answer.status == http.client.FORBIDDEN:
        return (
            f"AWS IoT refused credentials for the role alias {role_alias} ({said}): the certificate's IoT policy must "
            f"allow iot:AssumeRoleWithCertificate on rolealias/{role_alias}, the certificate must be active and "
            f"{thing_name}'s, and the role must trust credentials.iot.amazonaws.com"
        )
    if answer.status == http.client.NOT_FOUND:
        return f"AWS IoT has no role alias {role_alias} at {endpoint} ({said}): check agent.authentication.credentials"
    return f"the credentials provider {endpoint} answered {answer.status}: {said}"


def _text(answer: Answer) -> str:
    """Show what an answer says, in one line of ASCII."""
    try:
        said = json.loads(answer.body)["message"]
    except (ValueError, KeyError, TypeError):
        said = answer.body[:SHOWN].decode("utf-8", "replace")
    return json.dumps(str(said)[:SHOWN])[1:-1] or f"status {answer.status}"


def from_environment() -> Source:
    """Return the source among AWS's usual places, in this process's environment."""
    return of_surroundings(os.environ)
