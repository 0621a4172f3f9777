"""Which Python a Mac is taken to have: not the one that only opens a window."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.macos.mac import Mac

pytestmark = pytest.mark.slow


def test_without_developer_tools_apples_python_is_left_alone(mac: Mac, each_shell: str, bundle: Path) -> None:
    (mac.state / "no-developer-tools").touch()
    done = mac.install("--bundle", bundle)  # which would fail if it had opened the window
    expected = (
        "python: Python 3.9 or later is needed: xcode-select --install brings Apple's; another one can be named by"
    )
    assert (1, f"{expected} --python\n") == (done.returncode, done.stderr)
    assert [] == mac.calls("python3")
    assert [] == mac.calls("dscl")


def test_the_dry_run_says_too_that_python_is_missing(mac: Mac, bundle: Path) -> None:
    (mac.state / "no-developer-tools").touch()
    done = mac.install("--dry-run", "--bundle", bundle)
    assert 1 == done.returncode
    assert "xcode-select --install" in done.stderr
    assert [] == mac.calls("python3")


@pytest.mark.parametrize(
    "place",
    ["Library/Frameworks/Python.framework/Versions/Current/bin", "opt/homebrew/bin", "usr/local/bin"],
)
def test_without_developer_tools_another_python_is_found(mac: Mac, bundle: Path, place: str) -> None:
    (mac.state / "no-developer-tools").touch()
    (mac.root / place).mkdir(parents=True)
    (mac.root / place / "python3").symlink_to(mac.root / "usr" / "bin" / "python3")
    done = mac.install("--bundle", bundle)
    assert 0 == done.returncode
    assert str(mac.root / place / "python3") in done.stdout


def test_a_python_that_is_too_old_is_passed_over(mac: Mac, bundle: Path) -> None:
    apples, homebrews = mac.root / "usr" / "bin" / "python3", mac.root / "opt" / "homebrew" / "bin" / "python3"
    homebrews.parent.mkdir(parents=True)
    homebrews.symlink_to(apples.readlink())
    apples.unlink()
    says = "import sys; sys.version_info = (3, 8, 18, 'final', 0); exec(sys.argv[1])"
    apples.write_text(f'#!/bin/sh\nexec "$MAC_PYTHON" -I -c "{says}" "$3"\n')
    apples.chmod(0o755)
    done = mac.install("--bundle", bundle)
    assert 0 == done.returncode
    assert str(homebrews) in done.stdout


def test_a_python_can_be_named(mac: Mac, bundle: Path) -> None:
    (mac.state / "no-developer-tools").touch()
    mine = mac.root / "my python"
    mine.symlink_to((mac.root / "usr" / "bin" / "python3").readlink())
    done = mac.install("--bundle", bundle, "--python", mine)
    assert (0, "") == (done.returncode, done.stderr)
    assert str(mine) in done.stdout
