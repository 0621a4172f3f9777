"""A connection to AWS: whom it trusts, and as whom it is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from defender_cloudwatch.connection import Identity
from defender_cloudwatch.errors import CredentialsError
from demo.authority import Authority
from tests.cloudwatch.doubles import Double, answer_as_provider, provider_context
from tests.cloudwatch.test_credentials import ask


@pytest.fixture
def provider(authority: Authority) -> Iterator[Double]:
    with Double(answer_as_provider, provider_context(authority)) as provider:
        yield provider


def test_a_certificate_of_another_authority_is_refused(provider: Double, authority: Authority, tmp_path: Path) -> None:
    files = Authority(tmp_path / "other").issue("rpi-0001")
    with pytest.raises(CredentialsError, match="the device's certificate is refused"):
        ask(provider, authority, identity=Identity(str(files.certificate), str(files.private_key)))
    assert [] == provider.requests


def test_an_expired_certificate_is_refused(provider: Double, authority: Authority) -> None:
    files = authority.issue_expired("rpi-0003")
    with pytest.raises(CredentialsError, match="the device's certificate is refused"):
        ask(provider, authority, identity=Identity(str(files.certificate), str(files.private_key)))


def test_a_server_that_nobody_vouches_for_is_not_asked(provider: Double, authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with pytest.raises(CredentialsError, match="was not accepted .*this device's clock"):
        ask(provider, authority, root_ca=other.certificate)
    assert [] == provider.requests


def test_a_certificate_that_is_not_there_is_no_fault_of_the_network(provider: Double, authority: Authority) -> None:
    with pytest.raises(CredentialsError, match=r"/nowhere/a\.pem cannot be read: No such file or directory"):
        ask(provider, authority, identity=Identity("/nowhere/a.pem", "/nowhere/a.key"))
