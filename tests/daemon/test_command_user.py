"""The command user: what an installed configuration lets root run is run as the service's user."""

from __future__ import annotations

import os
import pwd

import pytest

from defender_daemon.command_user import NOBODY, VARIABLE, CommandUser, command_user
from defender_daemon.config import Instance
from defender_daemon.identity import serial_of
from defender_publisher.collectors.commands import run_command

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def test_whoever_asks_for_no_service_runs_commands_as_oneself() -> None:
    assert CommandUser() == command_user({})


@as_root
def test_root_runs_the_commands_of_a_configuration_as_the_services_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "nobody")
    number, group = pwd.getpwnam("nobody")[2:4]
    who = 'echo "$(id -u) $(id -G)"'
    assert f"{number} {group}" == serial_of(Instance(prefix="rpi", command=who))
    assert [f"{number} {group}"] == run_command(["/bin/sh", "-c", who], "string-list", 60.0)


@as_root
def test_where_the_services_user_is_gone_it_is_nobody() -> None:
    assert CommandUser(NOBODY, NOBODY, []) == command_user({VARIABLE: "no such user"})


def test_a_lesser_user_stays_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert CommandUser() == command_user({VARIABLE: "nobody"})
