"""The command user: what a configuration lets root run is run as the service's user, or as nobody."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import psutil
import pytest

from defender_daemon import identity
from defender_daemon.command_user import NOBODYS_NUMBER, VARIABLE, CommandUser, command_user
from defender_daemon.config import Instance
from defender_daemon.errors import ConfigError
from defender_daemon.identity import serial_of
from defender_publisher.collectors.commands import run_command
from defender_publisher.errors import CollectError
from tests.waiting import wait_until

WHO = 'echo "$(id -u) $(id -G)"'
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def number_and_group(name: str) -> str:
    return "{} {}".format(*pwd.getpwnam(name)[2:4])


@as_root
@pytest.mark.parametrize(("given", "user"), [(None, "nobody"), ("", "nobody"), ("daemon", "daemon")])
def test_root_runs_the_commands_of_a_configuration_as_a_lesser_user(
    monkeypatch: pytest.MonkeyPatch, given: str | None, user: str
) -> None:
    """Out of a checkout, where nothing names the service's user, as well as from an installation."""
    monkeypatch.delenv(VARIABLE)
    if given is not None:
        monkeypatch.setenv(VARIABLE, given)
    assert number_and_group(user) == serial_of(Instance(prefix="rpi", command=WHO))
    assert [number_and_group(user)] == run_command(["/bin/sh", "-c", WHO], "string-list", 60.0)


@as_root
def test_root_runs_them_itself_only_where_it_says_so_in_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "root")
    assert CommandUser() == command_user(), "which needs no right to become anybody"
    assert "0" == serial_of(Instance(prefix="rpi", command="id -u"))


def test_where_the_services_user_is_gone_it_is_nobodys_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = command_user({VARIABLE: "no such user", "TOKEN": "s3cret", "TZ": "UTC"})
    assert (NOBODYS_NUMBER, NOBODYS_NUMBER, [], "nobody") == (found.user, found.group, found.extra_groups, found.name)
    assert {"PATH", "HOME", "TZ"} == set(found.environment or ())


@pytest.mark.parametrize("environment", [{}, {VARIABLE: "nobody"}])
def test_a_lesser_user_stays_who_it_is(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert CommandUser() == command_user(environment)


@as_root
def test_a_command_that_needs_more_is_said_with_as_whom_it_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "nobody")
    with pytest.raises(ConfigError) as raised:
        serial_of(Instance(command="exit 3"))
    assert (
        "but it failed with exit status 3 (run as nobody, because root runs no command of a configuration unless "
        "AMAZON_DEFENDER_COMMANDS_AS=root says so)" in str(raised.value)
    )


@as_root
def test_neither_roots_secrets_nor_its_terminal_are_a_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Into a terminal that it shares with root it could type."""
    monkeypatch.setenv(VARIABLE, "nobody")
    monkeypatch.setenv("TOKEN", "s3cret")
    monkeypatch.setenv("PATH", "/root/bin:" + os.environ["PATH"])
    for shown in (serial_of(Instance(command="env")), *run_command(["/usr/bin/env"], "string-list", 60.0)):
        assert "s3cret" not in shown
        assert "/root" not in shown
    session = int(serial_of(Instance(command="cut -d' ' -f6 /proc/$$/stat")))
    assert session != os.getsid(0)


def test_a_command_that_does_not_end_is_ended_with_all_that_it_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(identity, "COMMAND_TIMEOUT", 0.5)
    started = tmp_path / "started"
    with pytest.raises(ConfigError, match="must end within"):
        serial_of(Instance(command=f"sleep 3600 & echo $! > {started}; wait"))
    assert wait_until(lambda: not psutil.pid_exists(int(started.read_text())))


def refuse(*arguments: object, **options: object) -> None:
    raise PermissionError(1, "Operation not permitted", "/bin/sh")


def test_a_root_that_may_not_become_somebody_else_says_so_and_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container without capabilities."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv(VARIABLE, "no such user")
    monkeypatch.setattr("subprocess.Popen", refuse)
    says = "cannot be run as nobody, because root runs no command of a configuration unless .* says so: "
    with pytest.raises(ConfigError, match=f"agent.instance.command 'id' {says}.*give agent.thing_name or"):
        serial_of(Instance(command="id"))
    with pytest.raises(CollectError, match=f"id {says}Operation not permitted"):
        run_command(["id"], "number", 1.0)


def test_a_command_with_a_nul_in_it_is_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match="cannot be run.*null byte"):
        serial_of(Instance(command="echo \0"))
