"""A case closes what was opened for it, however little of that there is."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from defender_publisher.doctor.case import Case
from defender_publisher.settings import read_settings
from defender_publisher.state import StateFile


def test_a_case_of_which_nothing_is_known_can_be_closed_and_needs_every_check() -> None:
    case = Case(None, {})
    case.close()
    assert {} == case.unneeded


def test_what_was_opened_is_closed_and_the_state_can_be_taken(tmp_path: Path) -> None:
    case = Case(None, {})
    case.line, other = socket.socketpair()
    case.store = StateFile(tmp_path)
    case.store.acquire()
    case.close()
    assert -1 == case.line.fileno()
    with other, StateFile(tmp_path):
        assert b"" == other.recv(1)
    case.close()


def test_the_checks_that_a_method_does_without_are_named_with_it(
    write_config: Callable[..., Path], free_port: int
) -> None:
    case = Case(None, {})
    endpoint = "a1-ats.iot.eu-west-1.amazonaws.com"
    authentication = {"method": "websocket", "endpoint": endpoint}
    case.settings = read_settings(None, {"agent": {"thing_name": "t", "authentication": authentication}})
    assert {"not needed with websocket"} == set(case.unneeded.values())
    assert {"belong together", "valid today", "issued for this thing"} <= set(case.unneeded)
    case.settings = read_settings(write_config(free_port), {})
    assert {} == case.unneeded
    assert ("localhost", free_port) == (case.link.host, case.link.port)
