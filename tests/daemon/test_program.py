"""A program ends with a status that says how it went, and with a sentence where it did not go well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from defender_daemon.errors import ConfigError, DefenderError
from defender_daemon.program import EXIT_CONFIG, EXIT_FAILED, EXIT_MISSING, EXIT_OK, carry_out

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("msgspec",)


def raising(error: BaseException) -> int:
    """Run a program that ends with an error, for somebody who asks; return the status."""

    def run() -> int:
        raise error

    return carry_out(run, "a-program", PACKAGES, asks=True, is_daemon=False)


def test_a_program_that_ends_well_has_the_status_that_it_chose() -> None:
    assert [EXIT_OK, 3] == [
        carry_out(lambda status=status: status, "p", (), asks=False, is_daemon=True)  # type: ignore[misc]
        for status in (0, 3)
    ]


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (ConfigError(["x must be y", "z is\x1b missing"]), EXIT_CONFIG, "x must be y\nz is\\x1b missing\n"),
        (DefenderError("no way", "go round"), EXIT_FAILED, "no way"),
        (ModuleNotFoundError("No module", name="msgspec.json"), EXIT_MISSING, "a-program: the Python package msgspec"),
        (KeyboardInterrupt(), EXIT_FAILED, ""),
    ],
)
def test_an_error_is_a_sentence_and_a_status(
    error: BaseException, status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status == raising(error)
    assert capsys.readouterr().err.startswith(says)


def test_a_daemons_error_names_the_doctor_and_its_interrupt_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    def run(error: BaseException) -> int:
        def fail() -> int:
            raise error

        return carry_out(fail, "a-program", PACKAGES, asks=False, is_daemon=True)

    assert EXIT_CONFIG == run(ConfigError(["x must be y"]))
    assert "x must be y (a-program doctor finds out more)\n" == capsys.readouterr().err
    assert EXIT_OK == run(KeyboardInterrupt())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_output_that_cannot_be_written_is_a_sentence_and_output_that_is_closed_is_none() -> None:
    code = "import sys; from defender_daemon.program import carry_out\nsys.exit(carry_out({}, 'p', (), True, False))"
    ask = [sys.executable, "-c", code.format("lambda: print('x') or 0")]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(ask, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert (EXIT_FAILED, "p: the output cannot be written: No space left on device\n") == (done.returncode, done.stderr)
    closed = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", code.format("lambda: 0")]
    done = subprocess.run(closed, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert (EXIT_OK, "") == (done.returncode, done.stderr)


def test_a_package_that_is_none_of_ours_is_no_sentence() -> None:
    with pytest.raises(ModuleNotFoundError):
        raising(ModuleNotFoundError("No module named 'nobody'", name="nobody"))


@pytest.mark.parametrize(("asks", "status"), [(True, EXIT_FAILED), (False, EXIT_OK)])
def test_an_answer_that_nobody_reads_to_its_end_is_no_success(asks: bool, status: int) -> None:
    code = (
        "import sys; from defender_daemon.program import carry_out\n"
        f"sys.exit(carry_out(lambda: print('x' * 100_000) or 0, 'p', (), {asks}, False))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = subprocess.run([sys.executable, "-c", code], stdout=closed, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    said = "p: the output was closed before its end\n" if asks else ""
    assert (status, said) == (done.returncode, done.stderr)
