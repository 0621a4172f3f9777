"""Detect's log is a line for each event, whatever the texts in it are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CODE = """
import logging
from defender_detect.logs import start_logging
start_logging({debug})
logging.info("a line\\nbreak")
logging.debug("more")
logging.getLogger("asyncio").info("asyncio's")
"""


@pytest.mark.parametrize(("debug", "lines"), [(False, 1), (True, 3)])
def test_debug_logs_more_and_a_line_break_is_escaped(debug: bool, lines: int) -> None:
    command = [sys.executable, "-c", CODE.format(debug=debug)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert lines == len(done.stderr.splitlines())
    assert " INFO a line\\x0abreak" in done.stderr or " INFO a line\\nbreak" in done.stderr
