"""Both commands that the README begins with, on minimal machines, as root and as a user: `make test-readme`."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.installers import roots
from tests.readme.minimal import Minimal

PREPARED_WITHIN, DEMO_WITHIN, TESTED_WITHIN = 900.0, 900.0, 3000.0  # seconds, on a busy machine with a slow network
WANTED = os.environ.get("DISTRIBUTIONS", "").replace(",", " ").split()  # names of distributions; none: all of them
TOOLS = ("debootstrap", "unshare", "chroot", "git", "ip")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PREPARED_WITHIN + DEMO_WITHIN + TESTED_WITHIN)]


class Case(NamedTuple):
    """A distribution, the Python that is tried there, and what it is there."""

    distribution: roots.Distribution
    python: str
    version: tuple[int, int]


DEBIAN_11, DEBIAN_12, DEBIAN_13, _ = roots.DISTRIBUTIONS
CASES = (
    Case(DEBIAN_11, "python3", (3, 9)),
    Case(DEBIAN_12, "python3", (3, 11)),
    Case(DEBIAN_13, "python3", (3, 13)),
    Case(roots.Distribution("debian-14", "forky", roots.DEBIAN), "python3.14", (3, 14)),
)


@pytest.fixture(
    params=[case for case in CASES if not WANTED or case.distribution.name in WANTED], ids=lambda c: c[0].name
)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=["root", "tester"])
def machine(request: pytest.FixtureRequest, case: Case, tmp_path: Path) -> Iterator[Minimal]:
    """A minimal machine with what the README asks for: Python with venv, git and make."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"minimal machines need root{' and '.join(['', *missing])}")
    try:
        machine = Minimal(case.distribution, request.param, tmp_path / "machine")
    except roots.RootError as error:
        pytest.skip(f"there can be no {case.distribution} here: {error}")
    # python3-venv too where another Python is tried: the installers and the scripts look for python3.
    machine.prepare(f"{case.python}-venv", "python3-venv", "git", "make", "ca-certificates")
    yield machine
    machine.close()


def test_the_demo_and_the_tests_pass(machine: Minimal, case: Case) -> None:
    version = machine.run(f"{case.python} -c 'import sys; print(*sys.version_info[:2])'").check()
    assert case.version == tuple(map(int, version.split()))
    machine.run(f"make .venv/installed-demo PYTHON={case.python}", within=DEMO_WITHIN).check()
    # Cut off, since other programs that open ports meanwhile are what the demo is about.
    demo = machine.run(f"make demo PYTHON={case.python} DEMO_SECONDS=40", within=DEMO_WITHIN, cut_off=True)
    if case.version < (3, 10):
        assert (2, True) == (demo.status, "3.10" in demo.output), demo.output[-3000:]
        assert "Traceback" not in demo.output
    else:
        assert "accepted" in demo.check()
    output = machine.run(f"make test PYTHON={case.python}", within=TESTED_WITHIN).check()
    assert re.search(r"^[.sx]+ +\[100%\]$", output, re.MULTILINE), output[-3000:]
