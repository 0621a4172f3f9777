"""A secret is read from where it is, and whatever keeps it from being read is one sentence that does not show it."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender_detect.alerts.secret import Secret
from defender_detect.alerts.webhook import Webhook
from defender_detect.errors import AlertSettingError


def nothing(topic: str, payload: bytes, retain: bool = False) -> None:
    """Stand for a broker."""


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [b"s3cret", b"s3cret\n", b"\xef\xbb\xbfs3cret\r\n"])
def test_a_secret_is_what_its_file_has(content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert "s3cret" == Secret(file=str(write(tmp_path / "s", content))).read()
    assert "" == caplog.text


def test_a_secret_that_others_can_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "s", b"s3cret", 0o640)
    assert "s3cret" == Secret(file=str(path)).read()
    assert [f"the secret {path} can be read by others than its owner: chmod 600 {path}"] == caplog.messages


def test_a_credential_of_systemd_is_read_where_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    write(tmp_path / "smtp", b"s3cret", 0o440)
    assert "s3cret" == Secret(credential="smtp").read()
    with pytest.raises(AlertSettingError, match="^the credential other cannot be read: No such file or directory$"):
        Secret(credential="other").read()
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(AlertSettingError, match=r"\$CREDENTIALS_DIRECTORY is not set; .* LoadCredential=smtp:FILE$"):
        Secret(credential="smtp").read()


@pytest.mark.parametrize("content", [b"", b"\n", b"s3cret\nand more", b"\xff\xfe", b"s3\x00cret", b"s" * 70_000])
def test_what_is_no_secret_is_refused(content: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "s", content)
    with pytest.raises(AlertSettingError) as caught:
        Secret(file=str(path)).read()
    assert f"the secret {path} must have one line of text and nothing else" == str(caught.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(AlertSettingError, match="^the secret /nowhere/x cannot be read: No such file or directory$"):
        Secret(file="/nowhere/x").read()


def test_what_a_secret_has_is_checked_and_not_shown(tmp_path: Path) -> None:
    wrong = Secret(file=str(write(tmp_path / "s", b"ftp://s3cret/")))
    with pytest.raises(AlertSettingError, match="^url must be an http or https URL") as caught:
        Webhook(url=wrong).open(nothing)
    assert "s3cret" not in str(caught.value)
    header = Secret(file=str(write(tmp_path / "h", "s3cr\xe9t".encode())))
    with pytest.raises(AlertSettingError, match=r"^headers.A must be one line of ASCII"):
        Webhook(url="http://x/", headers={"A": header}).open(nothing)
    right = Secret(file=str(write(tmp_path / "r", b"http://localhost/s3cret")))
    assert "the webhook at http://localhost" == Webhook(url=right).open(nothing).name
