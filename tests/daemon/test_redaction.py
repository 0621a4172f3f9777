"""No private key, no AWS secret and no password survives, and what is left can still be read."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from defender_daemon.redaction import REMOVED, config_without_secrets, key_lines, secrets_of, without_secrets

SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # AWS's own example


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, form: str, password: bytes | None = None) -> str:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(
        serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), encryption
    ).decode()


EC_KEY, RSA_KEY = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
KEYS = {
    "PKCS 8": pem(EC_KEY, "PKCS8"),
    "EC": pem(EC_KEY, "TraditionalOpenSSL"),
    "RSA": pem(RSA_KEY, "TraditionalOpenSSL"),
    "encrypted": pem(RSA_KEY, "TraditionalOpenSSL", b"pass"),
    "OpenSSH": pem(EC_KEY, "OpenSSH"),
}


def content_of(key: str) -> list[str]:
    return [line for line in key.splitlines() if line and not line.startswith("-----") and ":" not in line]


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_removed_whole_cut_off_or_in_json(name: str) -> None:
    key, lines = KEYS[name], content_of(KEYS[name])
    for text in (
        f"before\n{key}after\n",
        f"before\n{key[:-60]}",  # its end is missing
        "\n".join(key.splitlines()[3:]) + "\nafter\n",  # its begin is missing
        json.dumps({"a": key, "after": 1}),
        "\n".join(f"2026-11-21 : ERROR : {line}" for line in key.splitlines()),  # each line logged by itself
    ):
        found = without_secrets(text)
        assert [] == [line for line in lines if line in found]
        assert ("after" in text) == ("after" in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"key {SECRET_KEY} here", f"key {REMOVED} here"),
        ("id AKIAIOSFODNN7EXAMPLE.", f"id {REMOVED}."),
        ("token " + "aB3" * 100, f"token {REMOVED}"),
        ("password=hunter2 x", f"password={REMOVED} x"),
        ('"proxy_password": "hunter2"}', f'"proxy_password": "{REMOVED}"}}'),
        ("Proxy-Authorization: Basic bWU6c2VjcmV0", f"Proxy-Authorization: Basic {REMOVED}"),
        ("https://me:secret@host/x", f"https://{REMOVED}@host/x"),
        ("wss://h/mqtt?X-Amz-Security-Token=abc&b=1", f"wss://h/mqtt?X-Amz-Security-Token={REMOVED}&b=1"),
        ("aws_secret_access_key = abc", f"aws_secret_access_key = {REMOVED}"),
        ("failed with eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJvIn0.c2lnbmF0dXJl", f"failed with {REMOVED}"),
        ("fatal: ghp_0123456789abcdef0123456789abcdef0123", f"fatal: {REMOVED}"),
        ("github_pat_11ABCDEFG0abcdefghij_0123456789", REMOVED),
        ("glpat-0123456789abcdef0123", REMOVED),
        ("xoxb-123456789012-0123456789ab", REMOVED),
        ("https://hooks.slack.com/services/T0/B0/abc", f"https://hooks.slack.com/services/{REMOVED}"),
        ("sk_live_0123456789abcdef01234567", REMOVED),
        ("AIzaSy0123456789abcdef0123456789abcdefA", REMOVED),
        ("npm_0123456789abcdef0123456789abcdef0123", REMOVED),
        ("pypi-AgEIcHlwaS5vcmcCJDAw", REMOVED),
        ("123456789:AAEhBOweik6ad6PsVMRxjeQKXk8MVLSaWE0", REMOVED),
        ("x-api-key: 0123abcd", f"x-api-key: {REMOVED}"),
        ('{"apiKey": "0123abcd"}', f'{{"apiKey": "{REMOVED}"}}'),
        ('{"password": "correct horse battery", "a": 1}', f'{{"password": "{REMOVED}", "a": 1}}'),
        ("Authorization: Bearer abcdef0123456789", f"Authorization: Bearer {REMOVED}"),
        ("Bearer abcdef0123456789 refused", f"Bearer {REMOVED} refused"),
        ("curl -H 'Cookie: session=abc; b=2' http://h", f"curl -H 'Cookie: {REMOVED}' http://h"),
        ("Set-Cookie: id=abc; Path=/", f"Set-Cookie: {REMOVED}"),
        ("curl -u me:hunter2 http://h", f"curl -u me:{REMOVED} http://h"),
        ("mysql --user='me:hunter2'", f"mysql --user='me:{REMOVED}'"),
        ("pwd=Tr0ub4dor psk=correcthorse", f"pwd={REMOVED} psk={REMOVED}"),
        ("mysqldump --pass Tr0ub4dor db", f"mysqldump --pass {REMOVED} db"),
        ("prog --auth-token=abc --verbose", f"prog --auth-token={REMOVED} --verbose"),
        ("private_key: 0123456789abcdef", f"private_key: {REMOVED}"),
    ],
)
def test_what_looks_like_a_secret_is_removed(text: str, expected: str) -> None:
    assert expected == without_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",  # SHA-1, and the SHA-256 that is a certificate's ID
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "$aws/things/RPi0001Kitchen/defender/metrics/json/accepted",
        "/home/Pi4/amazonDefenderPublisher/certificates/device/private",
        "the report 1763700000 accepted after 0.204 s: 12 connections",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or fill ~/.aws/credentials",
        "agent.authentication.private_key must be the key of agent.authentication.certificate",
        'agent.authentication.private_key = "/etc/private.key" (file)',
        "agent.authentication.private_key must be a readable file: /etc/private.key: No such file or directory",
        "session 3 of 4, compass: north, bypass=none, a bearer of news",
        "amazon-defender-publisher --private-key /etc/private.key --certificate c.pem",
    ],
)
def test_what_helps_is_left(text: str) -> None:
    assert text == without_secrets(text)


def test_known_secrets_are_removed_wherever_they_are_and_short_ones_only_alone() -> None:
    assert f"x{REMOVED}y" == without_secrets("xhunter2hunter2y", ["hunter2hunter2"])
    assert f"rpi as {REMOVED}" == without_secrets("rpi as pi", ["pi"])
    assert {"a": [f"- {REMOVED} -", 1, None]} == without_secrets({"a": ["- s3cr3t/x\"' -", 1, None]}, ["s3cr3t/x\"'"])


def test_a_configuration_loses_passwords_and_arguments_and_nothing_else() -> None:
    config = {
        "agent": {
            "thing_name": "a",
            "instance": {"command": "grep -i serial /proc/cpuinfo | cut -c 4-"},
            "proxy": {"host": "p", "username": "me", "password": "secret"},
            "authentication": {"private_key": "/etc/k.pem"},
        },
        "custom_metrics": {
            "token_count": {"command": ["/bin/a", "--token", "x"]},
            "b": {"command": ["/bin/b"]},
            "c": None,
        },
    }
    expected = {
        "agent": {
            "thing_name": "a",
            "instance": {"command": "grep (7 arguments left out)"},
            "proxy": {"host": "p", "username": REMOVED, "password": REMOVED},
            "authentication": {"private_key": "/etc/k.pem"},
        },
        "custom_metrics": {
            "token_count": {"command": ["/bin/a", "(2 arguments left out)"]},
            "b": {"command": ["/bin/b"]},
            "c": None,
        },
    }
    assert expected == config_without_secrets(config)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("PASSWORD=x prog", REMOVED),
        ("prog 'x", "prog (1 argument left out)"),
        ("prog", "prog"),
        ("", REMOVED),
        ([], REMOVED),
        ([1, {"a": 2}], ["1", "(1 argument left out)"]),
        (None, None),
    ],
)
def test_of_a_command_right_or_wrong_the_program_is_left(command: object, expected: object) -> None:
    assert {"command": expected} == config_without_secrets({"command": command})


def test_the_secrets_of_a_configuration_are_known() -> None:
    config = {
        "agent": {
            "proxy": {"username": "me", "password": "secret"},
            "instance": {"command": "curl -u 'me:x1' http://h"},
        },
        "custom_metrics": {"a": {"command": ["/bin/a", "--token", "plainword", "hunter2hunter2", "status", "-v"]}},
        "list": [{"password": 12345}],
    }
    found = secrets_of(config)
    assert {"me", "secret", "curl -u 'me:x1' http://h", "plainword", "hunter2hunter2", "12345"} <= set(found)
    assert set() == {"status", "-v", "/bin/a", "--token"} & set(found)


def test_the_lines_of_a_key_are_its_content() -> None:
    assert content_of(KEYS["EC"]) == key_lines(KEYS["EC"])
    assert [] == key_lines("")
