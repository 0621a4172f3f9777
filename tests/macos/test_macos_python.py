"""Which Python a Mac is taken to have: not the one that only opens a window, nor one that an update took away."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.macos.mac import LABEL, NAME, Mac
from tests.waiting import wait_until

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


def take_python_away(mac: Mac) -> None:
    """Do what an update of macOS does: the developer tools are gone, and links to their Python point nowhere."""
    (mac.state / "no-developer-tools").touch()
    python = mac.program / "current" / "venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/Library/Developer/CommandLineTools/usr/bin/python3")


def test_a_mac_whose_python_was_taken_away_reports_with_another_one_from_the_wheels_that_were_kept(
    mac: Mac, each_shell: str, bundle: Path, tmp_path: Path
) -> None:
    wheels = tmp_path / "my wheels"
    wheels.mkdir()
    for name in ("psutil-7.2.2-cp36-abi3-macosx_11_0_arm64.whl", "psutil-7.2.2-cp36-abi3-linux_x86_64.whl"):
        (wheels / name).touch()
    mac.install("--bundle", bundle, "--wheelhouse", wheels)
    kept = mac.program / "current" / "wheels"
    assert ["psutil-7.2.2-cp36-abi3-macosx_11_0_arm64.whl"] == [path.name for path in kept.iterdir()]
    take_python_away(mac)
    homebrews = mac.root / "opt" / "homebrew" / "bin" / "python3"
    homebrews.parent.mkdir(parents=True)
    homebrews.symlink_to((mac.root / "usr" / "bin" / "python3").readlink())
    mac.run_tool("launchctl", "kickstart", "-k", f"system/{LABEL}")
    log = mac.program / "logs" / f"{NAME}.log"
    before = log.read_text().count(" accepted ")
    assert wait_until(lambda: log.read_text().count(" accepted ") > before, 60), (
        mac.program / "stderr.log"
    ).read_text()
    assert f"building its environment again, with {homebrews}" in (mac.program / "stderr.log").read_text()
    (call,) = [call for call in mac.calls("python3") if " -m pip install -q" in call]
    assert f"--no-index --find-links {kept} " in call
    built = len([call for call in mac.calls("python3") if " -m venv " in call])
    mac.run_tool("launchctl", "kickstart", "-k", f"system/{LABEL}")
    assert wait_until(lambda: log.read_text().count(" accepted ") > before + 1, 60)
    assert built == len([call for call in mac.calls("python3") if " -m venv " in call]), "built once"


def test_where_there_is_no_python_any_more_log_and_command_say_so(mac: Mac, bundle: Path) -> None:
    mac.install("--bundle", bundle)
    take_python_away(mac)
    mac.run_tool("launchctl", "kickstart", "-k", f"system/{LABEL}")
    says = "there is no Python 3.9 or later any more; xcode-select --install brings Apple's back"
    assert wait_until(lambda: says in (mac.program / "stderr.log").read_text(), 60)
    done = subprocess.run(
        [mac.program / "bin" / NAME, "--status"], capture_output=True, text=True, check=False, env=mac.environment()
    )
    assert (1, True) == (done.returncode, "its Python is gone" in done.stderr)
    assert [] == mac.refused(), "no window was opened"
