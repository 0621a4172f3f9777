"""A command is run under load as often as is wished, until it fails, and nothing stays busy afterwards."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.under_load import every_core_busy, run_under_load


def test_every_core_has_something_to_do_until_the_end() -> None:
    with every_core_busy() as children:
        assert os.cpu_count() == len(children)
        assert [None] * len(children) == [child.poll() for child in children]
    assert all(child.poll() for child in children)


def test_the_first_failure_ends_it_with_its_status(tmp_path: Path) -> None:
    code = (
        f"import sys; file = open({str(tmp_path / 'runs')!r}, 'a'); file.write('x'); sys.exit(7 * (file.tell() == 2))"
    )
    assert 0 == run_under_load(1, [sys.executable, "-c", code])
    assert 7 == run_under_load(3, [sys.executable, "-c", code])
    assert "xx" == (tmp_path / "runs").read_text()
