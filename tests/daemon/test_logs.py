"""The log: repeated warnings are counted, and a disk that is full stops nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from defender_daemon import logs
from defender_daemon.config import Agent


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    ours = logs.log.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logs.log.setLevel(ours)


def test_a_warning_that_repeats_itself_is_counted_and_every_one_is_heard_elsewhere(tmp_path: Path) -> None:
    heard: list[str] = []
    also = logging.Handler()
    also.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logs.configure_logging(Agent(logfile=str(tmp_path / "log")), also)
    for number in range(9):
        logs.log.warning("attempt %d failed", number)
    assert 1 == len((tmp_path / "log").read_text().splitlines())
    assert 9 == len(heard)


def test_in_debug_mode_nothing_is_counted(tmp_path: Path) -> None:
    logs.configure_logging(Agent(logfile=str(tmp_path / "log"), debug=True))
    for number in range(9):
        logs.log.warning("attempt %d failed", number)
    assert 9 == len((tmp_path / "log").read_text().splitlines())


def test_a_log_that_cannot_be_opened_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging(Agent(logfile="/proc/nowhere/log"))
    assert "the log file /proc/nowhere/log cannot be written" in capsys.readouterr().err


def test_whatever_a_message_holds_it_is_one_line_that_steers_no_terminal(tmp_path: Path) -> None:
    logs.configure_logging(Agent(logfile=str(tmp_path / "log")))
    logs.log.warning("said %s", "\x1b[2J\r\n2026-11-30 00:00:00,000 : INFO : report 1 accepted\u202e")
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.endswith(r": WARNING : said \x1b[2J\r\n2026-11-30 00:00:00,000 : INFO : report 1 accepted\u202e")


def test_a_traceback_keeps_its_lines(tmp_path: Path) -> None:
    logs.configure_logging(Agent(logfile=str(tmp_path / "log")))
    try:
        raise ValueError("x")
    except ValueError:
        logs.log.exception("unforeseen")
    assert len((tmp_path / "log").read_text().splitlines()) > 3
