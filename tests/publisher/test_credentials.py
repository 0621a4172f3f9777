"""Certificate and key are checked before they are used, and what is wrong with them is said in a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from defender_daemon.config import Authentication
from defender_publisher.credentials import credential_problems, validity_problem
from defender_publisher.settings import AMAZON_ROOTS
from demo.authority import Authority


@pytest.fixture
def good(authority: Authority) -> dict[str, str]:
    files = authority.issue("credentials")
    return {
        "certificate": str(files.certificate),
        "private_key": str(files.private_key),
        "root_ca": str(authority.certificate),
    }


def problem_with(**fields: str) -> str:
    (problem,) = credential_problems(Authentication(endpoint="e", **fields))
    return problem


def test_good_files_have_no_problem(good: dict[str, str]) -> None:
    assert [] == credential_problems(Authentication(endpoint="e", **good))


@pytest.mark.parametrize("key", ["certificate", "private_key", "root_ca"])
def test_a_missing_file_is_named(good: dict[str, str], tmp_path: Path, key: str) -> None:
    expected = f"agent.authentication.{key} must be a readable file: {tmp_path}/none: No such file or directory; put it"
    assert f"{expected} there, or correct the path" == problem_with(**{**good, key: f"{tmp_path}/none"})


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("certificate", "must hold a certificate in PEM form"),
        ("private_key", "must hold a private key in PEM form"),
        ("root_ca", "must hold certificates in PEM form"),
    ],
)
def test_a_file_of_another_kind_is_named(good: dict[str, str], tmp_path: Path, key: str, expected: str) -> None:
    for content in (b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        path = tmp_path / "file"
        path.write_bytes(content)
        path.chmod(0o600)
        says, _, advice = problem_with(**{**good, key: str(path)}).partition("; ")
        assert f"agent.authentication.{key} {expected}: {path}" == says
        assert advice


def test_a_key_of_another_certificate_is_named(good: dict[str, str], authority: Authority) -> None:
    other = authority.issue("other")
    assert "must be the key of agent.authentication.certificate" in problem_with(
        **{**good, "private_key": str(other.private_key)}
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_an_unreadable_key_is_named(good: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("x")
    path.chmod(0)
    assert "Permission denied" in problem_with(**{**good, "private_key": str(path)})


def test_dates_are_held_against_the_clock(authority: Authority) -> None:
    expired = authority.issue_expired("expired").certificate
    early = authority.issue_not_yet_valid("early").certificate
    assert f"the certificate {expired} expired on" in str(validity_problem(str(expired)))
    assert "check the clock" in str(validity_problem(str(early)))
    assert None is validity_problem(str(authority.issue("today").certificate))
    assert "this device's clock says 1970-01-01 00:00:12 UTC; check" in str(validity_problem(str(early), now=12.5))


def test_websocket_needs_no_certificate() -> None:
    assert [] == credential_problems(Authentication(method="websocket", endpoint="e"))


def test_the_roots_shipped_are_amazons() -> None:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(AMAZON_ROOTS)
    names = {dict(pair[0] for pair in each["subject"])["commonName"] for each in context.get_ca_certs()}
    assert {"Amazon Root CA 1", "Amazon Root CA 3"} == names
