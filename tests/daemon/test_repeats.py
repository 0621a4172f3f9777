"""The same warning is logged once, and then counted."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass

import pytest

from defender_daemon.logs import ALWAYS_LOGGED, FORGOTTEN_AFTER, MOST_KEPT, Repeats


@dataclass
class Log:
    """A logger with the filter on its handler, the text it wrote, and a clock in the test's hand."""

    now: float = 0.0

    def __post_init__(self) -> None:
        self.stream = io.StringIO()
        self.logger = logging.Logger("test")
        for _ in range(1):
            self.add_handler()

    def add_handler(self) -> None:
        handler = logging.StreamHandler(self.stream)
        handler.addFilter(Repeats(lambda: self.now))
        self.logger.addHandler(handler)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def log() -> Log:
    return Log()


def test_the_same_warning_is_logged_at_its_1st_10th_and_100th_time(log: Log) -> None:
    for number in range(150):
        log.logger.warning("report %d rejected, next attempt in %.1f s", number, number / 7)
        log.now += 300
    assert 3 == len(log.lines)
    assert "report 0 rejected, next attempt in 0.0 s" == log.lines[0]
    assert "report 9 rejected" in log.lines[1]
    assert "(10 times since " in log.lines[1]
    assert "(100 times since " in log.lines[2]


def test_different_warnings_are_counted_apart(log: Log) -> None:
    for _ in range(5):
        log.logger.warning("the DNS is gone")
        log.logger.error("the disk is full")
    assert ["the DNS is gone", "the disk is full"] == log.lines


def test_what_is_no_warning_is_never_counted(log: Log) -> None:
    for _ in range(5):
        log.logger.info("report accepted")
    assert 5 == len(log.lines)


def test_a_record_that_asks_for_it_is_logged_every_time(log: Log) -> None:
    for number in range(5):
        log.logger.warning("report %d is counted twice", number, extra=ALWAYS_LOGGED)
    assert 5 == len(log.lines)


def test_a_warning_that_did_not_come_for_hours_is_news_again(log: Log) -> None:
    log.logger.warning("no network")
    log.now += FORGOTTEN_AFTER
    log.logger.warning("no network")
    assert ["no network", "no network"] == log.lines


def test_many_different_warnings_take_bounded_memory(log: Log) -> None:
    for number in range(10 * MOST_KEPT):
        log.logger.warning("unreadable: %s", "x" * (number + 1))
    (handler,) = log.logger.handlers
    (repeats,) = handler.filters
    assert MOST_KEPT == len(repeats._seen)


def test_two_handlers_say_how_often_once(log: Log) -> None:
    log.add_handler()
    for _ in range(10):
        log.logger.warning("no network")
    assert 4 == len(log.lines)
    assert 1 == log.lines[-1].count("times since")


def test_a_traceback_is_logged_once_as_well(log: Log) -> None:
    for _ in range(3):
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            log.logger.exception("unforeseen")
    assert 1 == log.stream.getvalue().count("Traceback")
