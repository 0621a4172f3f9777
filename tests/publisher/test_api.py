"""What other programs may import is documented by examples that work, and loads nothing before it is used."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import defender_publisher

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "api.md"
CONFIG = {"agent": {"thing_name": "rpi-0001", "dry_run": True}, "custom_metrics": {"load": {"source": "load_average"}}}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="another system may not show its ports to everybody")
def test_every_example_of_the_page_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, verbose=False)
    assert (0, True) == (failed, tried >= 2 * len(defender_publisher.__all__))


def test_whatever_is_promised_is_there_and_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    imported = set(re.findall(r"^>>> from defender_publisher import (\w+)$", text, re.MULTILINE))
    assert set(defender_publisher.__all__) == imported
    for name in defender_publisher.__all__:
        assert getattr(defender_publisher, name).__doc__
        assert name in dir(defender_publisher)


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(AttributeError, match="module 'defender_publisher' has no attribute 'collekt'"):
        _ = defender_publisher.collekt


def test_importing_the_package_loads_nothing_but_itself() -> None:
    code = "import sys, defender_publisher; print([n for n in sys.modules if n.startswith(('defender_', 'msgspec'))])"
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "['defender_publisher']" == done.stdout.strip()
