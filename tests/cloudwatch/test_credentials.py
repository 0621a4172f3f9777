"""AWS credentials come from AWS IoT by the device's certificate, and a refusal says what to do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from defender_cloudwatch.connection import Identity, Way
from defender_cloudwatch.credentials import Keeper, of_container, of_device, of_surroundings
from defender_cloudwatch.errors import CredentialsError
from defender_cloudwatch.signature import Credentials
from demo.authority import Authority
from tests.cloudwatch.doubles import ALIAS, Double, answer_as_provider, provider_context


@pytest.fixture
def provider(authority: Authority) -> Iterator[Double]:
    with Double(answer_as_provider, provider_context(authority)) as provider:
        yield provider


def ask(
    provider: Double, authority: Authority, thing: str = "rpi-0001", alias: str = ALIAS, **given: Any
) -> Credentials:
    files = authority.issue("rpi-0001")
    identity = given.get("identity") or Identity(str(files.certificate), str(files.private_key))
    way = Way(str(given.get("root_ca") or authority.certificate))
    return of_device(f"localhost:{provider.port}", alias, thing, identity, way)()


def test_the_certificate_is_worth_credentials(provider: Double, authority: Authority) -> None:
    got = ask(provider, authority)
    assert ("ASIA1", "secret", "token") == (got.key_id, got.secret, got.token)
    assert got.expires is not None


def test_another_things_name_is_refused_with_what_must_be_allowed(provider: Double, authority: Authority) -> None:
    with pytest.raises(CredentialsError, match=f"iot:AssumeRoleWithCertificate on rolealias/{ALIAS}.* rpi-0002's"):
        ask(provider, authority, thing="rpi-0002")


def test_a_role_alias_that_is_not_there_is_said(provider: Double, authority: Authority) -> None:
    with pytest.raises(CredentialsError, match="AWS IoT has no role alias other at localhost"):
        ask(provider, authority, alias="other")


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>captive portal</html>",
        {"credentials": {"accessKeyId": "A", "secretAccessKey": "s", "sessionToken": "t"}},
        {"credentials": {"accessKeyId": "A", "secretAccessKey": "s", "expiration": "soon"}},
        {"credentials": {"accessKeyId": "A", "secretAccessKey": "s", "expiration": "2026-01-01T00:00:00"}},
        [],
        {"credentials": None},
    ],
)
def test_an_answer_that_is_no_credentials_is_said(provider: Double, authority: Authority, answer: Any) -> None:
    provider.answer = lambda request, client: (200, answer)
    with pytest.raises(CredentialsError, match="answered with something that is not AWS credentials"):
        ask(provider, authority)


def test_a_fault_of_the_provider_is_said(provider: Double, authority: Authority) -> None:
    provider.answer = lambda request, client: (500, {"message": "in a \n fit"})
    with pytest.raises(CredentialsError, match=r"answered 500: in a \\n fit"):
        ask(provider, authority)


def test_nobody_there_is_said(provider: Double, authority: Authority, free_port: int) -> None:
    provider.port = free_port
    with pytest.raises(CredentialsError, match="cannot be reached: Connection refused"):
        ask(provider, authority)


class Clock:
    """A clock that stands where it is put."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_credentials_are_refreshed_at_three_quarters_of_their_life() -> None:
    clock, given = Clock(), []

    def source() -> Credentials:
        given.append(Credentials(f"key {len(given)}", "s", "t", clock.now + 3600))
        return given[-1]

    keeper = Keeper(source, clock)
    assert ["key 0", "key 0"] == [keeper.get().key_id, keeper.get().key_id]
    clock.now += 2699
    assert "key 0" == keeper.get().key_id
    clock.now += 1
    assert "key 1" == keeper.get().key_id
    keeper.forget()
    assert "key 2" == keeper.get().key_id


def test_what_still_holds_is_used_while_the_provider_is_away(caplog: pytest.LogCaptureFixture) -> None:
    clock, away = Clock(), False

    def source() -> Credentials:
        if away:
            raise CredentialsError("away")
        return Credentials("key", "s", "t", clock.now + 3600)

    keeper = Keeper(source, clock)
    keeper.get()
    away = True
    clock.now += 3000
    with caplog.at_level(logging.WARNING):
        assert "key" == keeper.get().key_id
    assert "the current ones are used: away" in caplog.text
    clock.now += 601
    with pytest.raises(CredentialsError, match="away"):
        keeper.get()


def test_a_greengrass_core_gives_credentials_to_who_has_the_token() -> None:
    def answer(request: Any, client: str) -> tuple[int, Any]:
        if request.headers.get("authorization") != "t0ken":
            return 401, {"message": "no"}
        found = {"AccessKeyId": "A", "SecretAccessKey": "S", "Token": "T", "Expiration": "2050-01-01T00:00:00Z"}
        return 200, found

    with Double(answer) as core:
        uri = f"http://localhost:{core.port}/2016-11-01/credentialprovider/"
        given = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t0ken"}
        assert Credentials("A", "S", "T", 2524608000.0) == of_surroundings(given)()
        with pytest.raises(CredentialsError, match="refused by .*: no"):
            of_container({**given, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "other"})()


@pytest.mark.parametrize("uri", ["http://example.com/", "http://localhost:x/", "ftp://localhost/", "nonsense"])
def test_a_container_uri_that_cannot_be_used_is_said(uri: str) -> None:
    with pytest.raises(CredentialsError, match="the container's credentials cannot be had from"):
        of_container({"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri})()


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path)}
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = FILE\naws_secret_access_key = a%b\n"
        "[other]\naws_access_key_id = OTHER\naws_secret_access_key = s\naws_session_token = t\n"
    )
    assert Credentials("FILE", "a%b") == of_surroundings(environment)()
    assert Credentials("OTHER", "s", "t") == of_surroundings({**environment, "AWS_PROFILE": "other"})()
    given = {**environment, "AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"}
    assert "ENV" == of_surroundings(given)().key_id


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there are no AWS credentials: set agent.authentication.credentials"),
        ("[default]\n", "credentials has no aws_access_key_id in the profile default"),
        ("[other]\n", "credentials has no profile default"),
        ("aws_access_key_id = A", "are not in the format of the AWS CLI"),
        ("[default]\naws_access_key_id = A\n[default]\n", "are not in the format of the AWS CLI"),
    ],
)
def test_a_credentials_file_that_cannot_be_used_is_said(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "credentials"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CredentialsError, match=says):
        of_surroundings({"AWS_SHARED_CREDENTIALS_FILE": str(path)})()
