"""Whoever logs never waits for whoever reads the log, and what is logged stays in its line."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from defender_daemon.log_queue import DescriptorHandler, LogQueue, queued_log
from defender_daemon.logs import OneLine

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60.0  # seconds
MORE_THAN_A_PIPE_HOLDS = 5_000  # lines of 100 bytes


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for each in ends:
        os.close(each)


@pytest.fixture
def logger(pipe: tuple[int, int]) -> Iterator[logging.Logger]:
    """A logger that writes into a pipe which nobody reads yet."""
    logger = logging.getLogger("tests.log_queue")
    handler = DescriptorHandler(pipe[1])
    handler.setFormatter(OneLine("%(levelname)s %(message)s"))
    logger.handlers[:], logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    yield logger
    logger.handlers.clear()


@pytest.fixture
def queued(logger: logging.Logger) -> Callable[..., LogQueue]:
    """Return what puts a queue before the logger's handlers."""

    def queued(most: int = 20_000) -> LogQueue:
        waiting = LogQueue(own_handlers(logger), most)
        logger.handlers[:] = [waiting]
        waiting.start()
        return waiting

    return queued


def own_handlers(logger: logging.Logger) -> list[logging.Handler]:
    """Return the handlers that are not pytest's."""
    return [each for each in logger.handlers if isinstance(each, DescriptorHandler)]


class Reader(threading.Thread):
    """Reads a pipe until a line comes that says END."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(daemon=True)
        self._file = os.fdopen(os.dup(descriptor), encoding="utf-8")
        self.lines: list[str] = []
        self.start()

    def run(self) -> None:
        for line in self._file:
            self.lines.append(line.rstrip("\n"))
            if line.endswith("END\n"):
                return

    def read(self) -> list[str]:
        """Return all lines."""
        self.join(PATIENCE)
        self._file.close()
        return self.lines


def test_logging_goes_on_while_nobody_reads_and_no_line_is_lost(
    pipe: tuple[int, int], logger: logging.Logger, queued: Callable[..., LogQueue]
) -> None:
    waiting = queued()
    for number in range(MORE_THAN_A_PIPE_HOLDS):  # it would stay here for ever, did it wait
        logger.info("%d %s", number, "x" * 90)
    logger.info("END")
    reader = Reader(pipe[0])
    waiting.stop(PATIENCE)
    expected = [f"INFO {number} {'x' * 90}" for number in range(MORE_THAN_A_PIPE_HOLDS)]
    assert [*expected, "INFO END"] == reader.read()


def test_lines_beyond_the_bound_are_counted_and_said(
    pipe: tuple[int, int], logger: logging.Logger, queued: Callable[..., LogQueue]
) -> None:
    waiting = queued(most=100)
    for number in range(MORE_THAN_A_PIPE_HOLDS):
        logger.info("%d %s", number, "x" * 90)
    reader = Reader(pipe[0])
    waiting.stop(PATIENCE)
    logger.handlers[:] = waiting._handlers
    logger.info("END")
    lines = reader.read()
    said = [line.split(" ", 2) for line in lines if line.startswith("WARNING ")]
    assert {"lines of the log were dropped: it is read more slowly than it is written"} == {text for _, _, text in said}
    dropped = sum(int(number) for _, number, _ in said)
    assert MORE_THAN_A_PIPE_HOLDS == dropped + len(lines) - len(said) - 1


def test_it_ends_though_nobody_ever_reads(
    pipe: tuple[int, int], logger: logging.Logger, queued: Callable[..., LogQueue]
) -> None:
    waiting = queued(most=100)
    for _ in range(MORE_THAN_A_PIPE_HOLDS):
        logger.info("x" * 90)
    waiting.stop(timeout=0.1)
    waiting._thread.join(PATIENCE)
    assert not waiting._thread.is_alive()


PROGRAM = """
import logging, sys
from defender_daemon.log_queue import DescriptorHandler, queued_log
from defender_daemon.logs import OneLine
handler = DescriptorHandler(2)
handler.setFormatter(OneLine("%(message)s"))
logging.basicConfig(handlers=[handler], level=logging.INFO)
with queued_log(flush_timeout=float(sys.argv[1])):
    for number in range(5_000):
        logging.info("%d %s", number, "x" * 90)
    print("done", flush=True)
"""


def test_a_program_ends_though_its_standard_error_is_never_read() -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "0.2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert program.stdout is not None
    assert program.stderr is not None
    assert "done\n" == program.stdout.readline()
    assert 0 == program.wait(PATIENCE)
    program.stdout.close()
    program.stderr.close()


def test_what_is_logged_at_the_end_is_written() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, "60"], capture_output=True, cwd=ROOT, text=True, check=True)
    assert [f"{number} {'x' * 90}" for number in range(5_000)] == done.stderr.splitlines()


def test_a_value_that_changes_after_it_was_logged_is_shown_as_it_was(
    pipe: tuple[int, int], logger: logging.Logger, queued: Callable[..., LogQueue]
) -> None:
    value = ["before"]
    waiting = LogQueue(own_handlers(logger))
    logger.handlers[:] = [waiting]
    logger.info("%s", value)
    value[0] = "after"
    waiting.start()
    waiting.stop(PATIENCE)
    assert b"INFO ['before']\n" == os.read(pipe[0], 100)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("x\n2026-11-30 WARNING forged", r"x\n2026-11-30 WARNING forged"),
        ("\x1b[31m\x07\r\x9b", r"\x1b[31m\x07\r\x9b"),
        ("a\u202eb\u2028c\ud800", r"a\u202eb\u2028c\ud800"),
        ("Zoë, 30 °C, 温度", "Zoë, 30 °C, 温度"),
    ],
)
def test_no_text_breaks_out_of_its_line(
    said: str, shown: str, pipe: tuple[int, int], logger: logging.Logger, queued: Callable[..., LogQueue]
) -> None:
    waiting = queued()
    logger.info("%s", said)
    waiting.stop(PATIENCE)
    assert f"INFO {shown}\n" == os.read(pipe[0], 1_000).decode()


def test_a_traceback_of_ours_keeps_its_lines(
    pipe: tuple[int, int], logger: logging.Logger, queued: Callable[..., LogQueue]
) -> None:
    waiting = queued()
    try:
        raise ValueError("wrong")
    except ValueError:
        logger.exception("it failed")
    waiting.stop(PATIENCE)
    lines = os.read(pipe[0], 10_000).decode().splitlines()
    assert ["ERROR it failed", "Traceback (most recent call last):"] == lines[:2]
    assert "ValueError: wrong" == lines[-1]


def test_the_level_of_a_handler_holds(pipe: tuple[int, int], logger: logging.Logger) -> None:
    (handler,) = own_handlers(logger)
    handler.setLevel(logging.WARNING)
    waiting = LogQueue([handler])
    logger.handlers[:] = [waiting]
    waiting.start()
    logger.info("no")
    logger.warning("yes")
    waiting.stop(PATIENCE)
    assert b"WARNING yes\n" == os.read(pipe[0], 100)


def test_the_handlers_of_the_root_logger_are_back_at_the_end() -> None:
    root = logging.getLogger()
    before = list(root.handlers)
    with queued_log():
        assert ["LogQueue"] == [type(each).__name__ for each in root.handlers]
    assert before == root.handlers


def test_a_reader_that_has_gone_is_no_error(logger: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    logger.handlers[:] = [DescriptorHandler(theirs)]
    logger.warning("is anybody there?")
    os.close(theirs)
    assert "" == capfd.readouterr().err
