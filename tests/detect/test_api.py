"""What defender_detect exports is what docs/reference/api.md shows, and the examples print what the page says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import defender_detect
from defender_detect import Detector, read_profiles
from defender_detect.store.store import Store
from device_defender.report import Report

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "api.md"
EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
NOW = 1_800_000_000


def section(name: str) -> str:
    """Return a section of the page."""
    return PAGE.read_text().partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def report(cpu: float) -> dict[str, object]:
    return {"header": {"report_id": NOW, "version": "1.0"}, "custom_metrics": {"cpu_usage": [{"number": cpu}]}}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where there are profiles, recorded reports and a state directory."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    lines = [{"thingName": "rpi-2", "timestamp": NOW + 300 * each, "report": report(90)} for each in (2, 0, 1)]
    (tmp_path / "reports.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*lines, "no report"]))
    detector = Detector.of(read_profiles(tmp_path / "configs" / "security-profiles"))
    store = Store(tmp_path / "state", interval=60.0, clock=lambda: NOW)
    for now in (NOW, NOW + 300, NOW + 600):
        found = detector.observe("rpi-1", msgspec.convert(report(99), Report), now)
        assert found is not None
        if found.events:
            store.add("rpi-1", now, found.values, found.events, found.state, 1, found.lasting)
    store.close()
    return tmp_path


def test_the_examples_print_what_the_page_says(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(directory)
    names: dict[str, object] = {}
    examples = EXAMPLE.findall(section("Detect"))
    assert 5 == len(examples)
    for code, expected in examples:
        exec(code, names)
        assert expected == capsys.readouterr().out


def test_every_exported_name_has_an_example() -> None:
    code = "\n".join(code for code, _ in EXAMPLE.findall(section("Detect")))
    shown = set(re.findall(r"^from defender_detect import (\w+)$", code, re.MULTILINE))
    assert set(defender_detect.__all__) == shown


@pytest.mark.parametrize("name", defender_detect.__all__)
def test_what_is_exported_is_there_and_listed(name: str) -> None:
    assert callable(getattr(defender_detect, name))
    assert name in dir(defender_detect)


def test_another_name_is_none() -> None:
    with pytest.raises(AttributeError, match="module 'defender_detect' has no attribute 'nothing'"):
        defender_detect.nothing  # noqa: B018


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, defender_detect; print({'msgspec', 'paho', 'sqlite3'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "set()\n" == done.stdout
