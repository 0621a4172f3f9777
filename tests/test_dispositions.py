"""What a process inherits about signals, put back."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dispositions import INHERITED

ROOT = Path(__file__).resolve().parent.parent
ENDS_ITSELF = "import os, sys, time; os.kill(os.getpid(), int(sys.argv[1])); time.sleep(60)"


@pytest.mark.parametrize("number", INHERITED)
def test_what_a_test_starts_is_ended_by_a_signal(number: signal.Signals) -> None:
    done = subprocess.run([sys.executable, "-c", ENDS_ITSELF, str(int(number))], stderr=subprocess.DEVNULL, timeout=60)
    assert -number == done.returncode


def test_and_so_it_is_where_the_tests_run_in_the_background_of_a_script() -> None:
    test = f"{Path(__file__).relative_to(ROOT)}::{test_what_a_test_starts_is_ended_by_a_signal.__name__}"
    pytest_run = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", test]
    ignoring = ["sh", "-c", 'trap "" INT QUIT HUP TERM; exec "$@"', "sh", *pytest_run]
    done = subprocess.run(ignoring, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert 0 == done.returncode, done.stdout
    assert f"{len(INHERITED)} passed" in done.stdout
