"""./deploy.py among others: on a terminal, interrupted, killed, and twice at once."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.fakes.emulator import Account
from tests.infrastructure.deployment import DEPLOY, LONGEST_RUN, Machine, members_of
from tests.waiting import wait_until

pty = pytest.importorskip("pty")

FLEET, THINGS = "amazon-defender-publisher-fleet", "amazon-defender-publisher-things-1"


class Terminal:
    """deploy.py on a terminal."""

    def __init__(self, machine: Machine, *arguments: str) -> None:
        self.screen, self._terminal, end = "", *pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, str(DEPLOY), *arguments],
            cwd=machine.directory,
            env={**machine.environment, "TERM": "xterm", "COLUMNS": "160"},
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
        )
        os.close(end)

    def read_until(self, words: str, seconds: float = LONGEST_RUN) -> str:
        """Read what is printed until these words are."""
        deadline = time.monotonic() + seconds
        while words not in self.screen and time.monotonic() < deadline and self._read():
            pass
        assert words in self.screen, self.screen
        return self.screen

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def end(self, seconds: float = LONGEST_RUN) -> int:
        """Read to the end and return the exit status."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._read():
            pass
        return self.process.wait(max(1.0, deadline - time.monotonic()))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)

    def _read(self) -> bool:
        if not select.select([self._terminal], [], [], 0.2)[0]:
            return self.process.poll() is None
        try:
            self.screen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(self._terminal, 65536).decode())
        except OSError:  # the other side is closed
            return False
        return True


@pytest.fixture
def terminal(machine: Machine) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def terminal(*arguments: str) -> Terminal:
        opened.append(Terminal(machine, *arguments))
        return opened[-1]

    yield terminal
    for each in opened:
        each.close()


def status_of(account: Account, stack: str) -> str | None:
    return account.snapshot()["stacks"].get(stack)


@pytest.mark.parametrize("answer", ["\n", pytest.param("n\n", marks=pytest.mark.slow)])
def test_on_a_terminal_it_asks_and_no_changes_nothing(
    machine: Machine, terminal: Callable[..., Terminal], answer: str
) -> None:
    machine.list("rpi-0001")
    screen = terminal("--no-detect")
    shown = screen.read_until("[y/n]")
    assert "new       1: rpi-0001" in shown
    screen.type(answer)
    assert 1 == screen.end()
    assert "nothing was changed" in screen.screen
    assert "Traceback" not in screen.screen
    assert {} == machine.account.writes()
    assert {} == machine.files()


@pytest.mark.slow
def test_on_a_terminal_yes_deploys_with_progress(machine: Machine, terminal: Callable[..., Terminal]) -> None:
    machine.list("rpi-0001")
    screen = terminal("--no-detect")
    screen.read_until("[y/n]")
    screen.type("y\n")
    assert 0 == screen.end()
    for words in (
        "rpi-0001 has its certificate (1 of 1)",
        "rpi-0001 joined",
        "rpi-0001 fetched",
        "Everything is up to date.",
    ):
        assert words in screen.screen
    assert "PRIVATE KEY" not in screen.screen
    assert ["rpi-0001"] == members_of(machine.account)


@pytest.mark.slow
def test_deleting_is_asked_for_with_the_names_of_what_goes(machine: Machine, terminal: Callable[..., Terminal]) -> None:
    machine.list("rpi-0001", "rpi-0002").deploy("--yes", "--no-detect")
    machine.list("rpi-0001")
    for arguments in (["--no-detect"], ["--destroy"]):
        screen = terminal(*arguments)
        assert "rpi-0002" in screen.read_until("[y/n]")
        screen.type("n\n")
        assert 1 == screen.end()
    assert ["rpi-0001", "rpi-0002"] == machine.account.snapshot()["things"]


def test_interrupted_at_the_question_nothing_is_changed(machine: Machine, terminal: Callable[..., Terminal]) -> None:
    screen = terminal("--no-detect") if machine.list("rpi-0001") else None
    assert screen is not None
    screen.read_until("[y/n]")
    while screen.process.poll() is None:  # a signal that comes right before it reads is seen after the next one only
        screen.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            screen.process.wait(10)
    assert 1 == screen.end()
    assert "Traceback" not in screen.screen
    assert {} == machine.account.writes()


@pytest.mark.slow
def test_interrupted_at_work_it_ends_soon_with_a_sentence_and_the_next_run_goes_on(machine: Machine) -> None:
    machine.list("rpi-0001", "rpi-0002").account.slow_stacks(15)  # longer than a slow machine needs to be there
    process = machine.start("--yes", "--no-detect")
    assert wait_until(lambda: status_of(machine.account, THINGS) == "CREATE_IN_PROGRESS")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LONGEST_RUN)
    machine.account.mend()
    assert status_of(machine.account, THINGS) == "CREATE_IN_PROGRESS"
    assert 1 == process.returncode
    assert "interrupted" in errors
    assert "Traceback" not in errors
    run = machine.deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert f"{THINGS}: another deployment is under way (CREATE_IN_PROGRESS); waiting for it to end" in run.output
    assert "stack     " not in run.output  # it was the whole deployment that was under way
    assert 2 == len(machine.account.snapshot()["certificates"])
    assert ["rpi-0001", "rpi-0002"] == members_of(machine.account)
    assert 0 == machine.install("rpi-0002").publish().returncode


@pytest.mark.slow
@pytest.mark.parametrize("action", ["ExecuteChangeSet", "DescribeCertificate", "AddThingToThingGroup"])
def test_killed_anywhere_the_next_run_ends_what_it_began(machine: Machine, action: str) -> None:
    service = "cloudformation" if action == "ExecuteChangeSet" else "iot"
    process = machine.list("rpi-0001").start("--yes", "--no-detect")
    assert wait_until(lambda: f"{service}:{action}" in machine.account.calls())
    process.kill()
    process.communicate()
    assert wait_until(lambda: not any("IN_PROGRESS" in s for s in machine.account.snapshot()["stacks"].values()))
    run = machine.deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert ["rpi-0001"] == members_of(machine.account)
    assert 0 == machine.install("rpi-0001").publish().returncode
    assert 1 == len(machine.account.snapshot()["certificates"])


@pytest.mark.slow
def test_of_two_deployments_at_once_one_wins_and_the_other_waits_or_says_why_it_did_not(
    machine: Machine, account: Account, tmp_path_factory: pytest.TempPathFactory
) -> None:
    second = Machine(tmp_path_factory.mktemp("second"), account).list("rpi-0001", "rpi-0002")
    account.slow_stacks(1.5)
    processes = [each.start("--yes", "--no-detect") for each in (machine.list("rpi-0001", "rpi-0002"), second)]
    ended = [(process.communicate(timeout=LONGEST_RUN), process.returncode) for process in processes]
    account.mend()
    winner, loser = (machine, second) if list((machine.directory / "fleet").glob("*.tar")) else (second, machine)
    won, lost = ended if winner is machine else reversed(ended)
    assert 0 == won[1], ended
    (_, errors), status = lost
    assert (status == 0) is (errors == ""), errors  # it began late enough to wait for the other, or between its stacks
    assert status == 0 or re.search("another deployment is under way|changed meanwhile|is busy", errors), errors
    assert "Traceback" not in errors
    assert 2 == len(account.snapshot()["certificates"])
    assert 0 == winner.install("rpi-0001").publish().returncode
    run = loser.deploy("--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert "no bundle 2: rpi-0001, rpi-0002" in run.output
    assert not list((loser.directory / "fleet").glob("*.tar"))


@pytest.mark.slow
def test_two_deployments_from_one_directory_end_with_keys_that_match(machine: Machine) -> None:
    machine.list("rpi-0001", "rpi-0002").account.slow_stacks(0.5)
    processes = [machine.start("--yes", "--no-detect") for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=LONGEST_RUN)
        assert "Traceback" not in errors
    machine.account.mend()
    run = machine.deploy("--yes", "--no-detect")
    assert (0, "") == (run.status, run.errors), run.text
    assert 2 == len(machine.account.snapshot()["certificates"])
    for thing in ("rpi-0001", "rpi-0002"):
        assert 0 == machine.install(thing).publish().returncode


def test_a_reader_that_closes_the_pipe_is_no_error_of_pythons(machine: Machine) -> None:
    process = machine.list("rpi-0001").start("--plan")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.wait(60)
    process.stderr.close()


@pytest.mark.slow
def test_what_came_between_the_plan_and_the_yes_is_not_undone(
    machine: Machine, terminal: Callable[..., Terminal], tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine.list("rpi-0001").deploy("--yes", "--no-detect")
    machine.list("rpi-0001", "rpi-0002")
    screen = terminal("--no-detect")
    screen.read_until("[y/n]")
    second = Machine(tmp_path_factory.mktemp("second"), machine.account).list("rpi-0001", "rpi-0003")
    assert 0 == second.deploy("--yes", "--no-detect").status
    screen.type("y\n")
    assert 1 == screen.end()
    assert "another deployment" in screen.screen
    assert ["rpi-0001", "rpi-0003"] == machine.account.snapshot()["things"]
    assert 0 == second.install("rpi-0003").publish().returncode


def test_without_any_standard_input_it_refuses_as_without_a_terminal(machine: Machine) -> None:
    command = f"exec '{sys.executable}' '{DEPLOY}' --no-detect <&-"
    directory, environment = machine.list("rpi-0001").directory, machine.environment
    done = subprocess.run(command, shell=True, cwd=directory, env=environment, capture_output=True, text=True)
    assert 1 == done.returncode
    assert "Traceback" not in done.stderr
    assert "--yes" in done.stderr
