"""The start of every program: in the .venv beside it, with a new enough Python, or advice that can be taken."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import defender_start
from defender_start import explain_missing, remedy

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import os, sys
sys.path.insert(0, {root!r})
from defender_start import begin
begin(__file__, ({oldest}, 0))
print(sys.prefix, os.environ.get("AMAZON_DEFENDER_ENTERED"), *sys.argv[1:])
"""


def run(directory: Path, *arguments: str, oldest: int = 3, python: str = sys.executable) -> tuple[int, str, str]:
    program = directory / "a program"
    program.write_text(PROGRAM.format(root=str(ROOT), oldest=oldest))
    command = [python, str(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


@pytest.fixture
def base_python() -> str:
    """A Python that is in no virtual environment."""
    return str(Path(sys.executable).resolve())


def make_environment(directory: Path) -> Path:
    environment = directory / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    return environment


def test_a_program_goes_on_in_the_environment_beside_it_with_all_its_arguments(
    tmp_path: Path, base_python: str
) -> None:
    environment = make_environment(tmp_path)
    assert (0, f"{environment} None a b c", "") == run(tmp_path, "a b", "c", python=base_python)


def test_a_python_that_is_in_an_environment_stays_there(tmp_path: Path) -> None:
    make_environment(tmp_path)
    assert sys.prefix == run(tmp_path)[1].split()[0]


def test_an_environment_that_leads_nowhere_is_entered_once(tmp_path: Path, base_python: str) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(base_python)
    status, said, _ = run(tmp_path, python=base_python)
    assert (0, "None") == (status, said.split()[1])


def test_an_old_python_is_told_which_one_is_needed(tmp_path: Path) -> None:
    status, said, error = run(tmp_path, oldest=99)
    assert (1, "") == (status, said)
    assert error.startswith("a program needs Python 99.0 or later, this is Python 3.")


def test_every_python_3_that_is_found_on_machines_can_read_it() -> None:
    ast.parse(Path(defender_start.__file__).read_text(), feature_version=(3, 6))


def test_a_checkout_is_told_to_make(tmp_path: Path) -> None:
    (tmp_path / "Makefile").touch()
    assert f"make -C {tmp_path} install-detect" == remedy(str(tmp_path), "detect", "install-detect")


def test_a_release_is_told_to_make_an_environment_as_debians_pip_refuses_to_install(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    place = tmp_path / ".venv"
    expected = f'python3 -m venv {place} && {place}/bin/pip install "{tmp_path}[detect]"'
    assert expected == remedy(str(tmp_path), "detect", "install")


def test_what_the_installers_left_is_told_to_install_its_requirements(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").touch()
    assert f"{sys.executable} -m pip install -r {tmp_path}/requirements.txt" == remedy(str(tmp_path), "", "install")


def test_an_installation_by_pip_is_told_the_part_that_is_missing(tmp_path: Path) -> None:
    expected = f'{sys.executable} -m pip install "amazon-defender-publisher[detect]"'
    assert expected == remedy(str(tmp_path), "detect", "install")


def test_an_installation_by_uv_has_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    expected = f"uv pip install --python {sys.executable} amazon-defender-publisher"
    assert expected == remedy(str(tmp_path), "", "install")


def test_where_pip_refuses_an_environment_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian 12 and later, Ubuntu 24.04 and Homebrew mark their Python as externally managed."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "EXTERNALLY-MANAGED").write_text("[externally-managed]\nError=no\n")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "lib"))
    monkeypatch.setenv("HOME", "/home/pi")
    place = "/home/pi/.amazon-defender-publisher"
    expected = f'python3 -m venv {place} && {place}/bin/pip install "amazon-defender-publisher[detect]"'
    assert expected == remedy(str(tmp_path), "detect", "install")


def test_the_sentence_names_the_package() -> None:
    text = explain_missing(ModuleNotFoundError("No module named 'msgspec'", name="msgspec"))
    assert text.startswith("the Python package msgspec is missing; run: ")
