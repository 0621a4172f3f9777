"""What is followed is a file or the journal, and never what would not end."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tests.cloudwatch.test_config import logs, problems


def test_the_own_log_is_not_followed(tmp_path: Path) -> None:
    own = tmp_path / "amazon-defender-cloudwatch.log"
    found = problems(tmp_path, agent={"logfile": str(tmp_path / "p.log")}, logs=logs(file_path=str(own)))
    assert "must not be this program's own log" in found[0]


def test_a_fifo_and_a_socket_are_not_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "is a FIFO" in problems(tmp_path, logs=logs(file_path=str(tmp_path / "fifo")))[0]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        assert "is a socket" in problems(tmp_path, logs=logs(file_path=str(tmp_path / "socket")))[0]
