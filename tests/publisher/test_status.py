"""What a daemon said of itself is read again, and configurations are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender_daemon.status import StatusError
from defender_publisher.status import config_hash, read_status
from tests.publisher.test_status_file import settings_in


def test_a_file_that_is_damaged_or_unreadable_is_one_sentence(tmp_path: Path) -> None:
    assert read_status(tmp_path) is None
    (tmp_path / "status.json").write_text("{")
    with pytest.raises(StatusError, match="is damaged"):
        read_status(tmp_path)
    (tmp_path / "status.json").unlink()
    (tmp_path / "status.json").mkdir()
    with pytest.raises(StatusError, match="cannot be read"):
        read_status(tmp_path)


def test_the_hash_tells_configurations_apart_and_is_that_of_equal_ones(tmp_path: Path) -> None:
    assert config_hash(settings_in(tmp_path)) == config_hash(settings_in(tmp_path))
    assert config_hash(settings_in(tmp_path)) != config_hash(settings_in(tmp_path, debug=True))


def test_the_hash_does_not_tell_where_the_service_manager_put_the_key(tmp_path: Path) -> None:
    etc, handed_over = ({"certificate": "/etc/c.pem", "private_key": key} for key in ("/etc/k", "/run/credentials/k"))
    other = {"certificate": "/etc/other.pem", "private_key": "/etc/k"}
    hashes = [config_hash(settings_in(tmp_path, authentication=each)) for each in (etc, handed_over, other)]
    assert hashes[0] == hashes[1] != hashes[2]
