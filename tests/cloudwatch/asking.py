"""The program in the tests' own process: what it answers once and ends."""

from __future__ import annotations

import io
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

from defender_cloudwatch import doctor, questions
from defender_cloudwatch.__main__ import main

MOMENT = 0.05  # seconds, in place of those over which a single look measures rates


def answer(*arguments: object, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the program with an environment, and return what it printed and its exit status."""
    given, handler = list(map(str, arguments)), signal.getsignal(signal.SIGTERM)
    with (
        redirect_stdout(io.StringIO()) as output,
        redirect_stderr(io.StringIO()) as errors,
        patch.dict(os.environ, environment, clear=True),
        patch.object(questions, "FIRST_RATES", MOMENT),
        patch.object(doctor, "FIRST_RATES", MOMENT),
    ):
        try:
            status = main(given)
        except SystemExit as end:  # of the parser
            status = int(str(end.code or 0))
        finally:
            signal.signal(signal.SIGTERM, handler)
    return subprocess.CompletedProcess(given, status, output.getvalue(), errors.getvalue())
