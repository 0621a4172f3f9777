"""Attempts: what is returned, and what is logged."""

from __future__ import annotations

import logging

import psutil
import pytest

from defender_publisher.collectors.attempt import attempt
from defender_publisher.errors import CollectError


def failing(error):
    def measure():
        raise error

    return measure


@pytest.mark.parametrize("value", [42, 0, [], ""])
def test_an_attempt_that_succeeds_returns_its_value_and_logs_nothing(value, caplog):
    assert value == attempt("it", lambda: value)
    assert [] == caplog.records


@pytest.mark.parametrize("error", [CollectError("no luck"), OSError("no luck"), psutil.Error("no luck")])
def test_a_foreseen_failure_is_one_line_without_a_traceback(error, caplog):
    assert attempt("it", failing(error)) is None
    assert [("it left out of the report: ", logging.WARNING, None)] == [
        (record.getMessage().partition("no luck")[0].replace("psutil.Error ", ""), record.levelno, record.exc_info)
        for record in caplog.records
    ]


def test_an_unforeseen_failure_is_logged_with_its_traceback(caplog):
    assert attempt("it", failing(KeyError("surprise"))) is None
    assert [(logging.ERROR, KeyError)] == [(record.levelno, record.exc_info[0]) for record in caplog.records]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_is_not_caught(error):
    with pytest.raises(error):
        attempt("it", failing(error()))
