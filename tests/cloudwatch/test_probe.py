"""A pattern that would take for ever is found before it does, and usual ones are let through."""

from __future__ import annotations

import re
import signal
import threading

import pytest

from defender_cloudwatch import probe
from defender_cloudwatch.lines import MATCHED_LENGTH
from defender_cloudwatch.probe import parts, worst_line


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", r"^(\w+\s?)*$", "(a|a)*b", "(x*)*y", r"([^,]+,?)*;", r"(\d+)*z", "(.*)*=", "(?:a+){10,}$", "((b+)c?)+!"],
)
def test_a_pattern_that_takes_for_ever_is_found(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LONGEST", 0.02)
    line = worst_line(re.compile(pattern), MATCHED_LENGTH)
    assert line is not None
    assert len(line) <= MATCHED_LENGTH
    assert signal.SIG_DFL == signal.getsignal(signal.SIGVTALRM)


@pytest.mark.parametrize(
    "pattern",
    [
        "", "ERROR|WARN", r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d", r"(?i)healthcheck", r"GET /(api|status)/\S* HTTP/1\.[01]",
        r"^\[(\d+\.)+\d+\]", r"^(?:[A-Z][a-z]{2} +\d+ )?[\d:]+", r"user=(?P<user>[^ ]+).*fail(ed|ure)", r"[^a-z]+x",
        "a{2,5}",        r"^\s*at .*\(.*:\d+\)$", r"(?<!no )error\b", r"(\w)\1",
    ],
)  # fmt: skip
def test_a_usual_pattern_is_let_through(pattern: str) -> None:
    assert None is worst_line(re.compile(pattern), MATCHED_LENGTH)
    assert all(parts(pattern))


def test_another_thread_asks_in_vain_and_harms_nothing() -> None:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(worst_line(re.compile("(a+)+$"), MATCHED_LENGTH)))
    thread.start()
    thread.join(60)
    assert [None] == found
