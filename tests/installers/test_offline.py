"""What `make dist` builds is enough: a release tar and its wheelhouse install the publisher without a network."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from demo.authority import Authority
from release import archive, build, wheelhouse
from tests import namespaces

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # building fetches 30 wheels
NAME = "amazon-defender-publisher"
WITHIN = 120.0  # seconds for one command; an installation takes 15


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the release and the wheelhouse, as an operator unpacks them."""
    directory = tmp_path_factory.mktemp("dist")
    if shutil.which("git") is None or not (build.ROOT / ".git").exists():
        pytest.skip("a release is built from a git checkout")
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        status = build.main(directory)
    if "No matching distribution found" in errors.getvalue():
        pytest.skip("there is no network to build a wheelhouse from")
    assert 0 == status, errors.getvalue()
    for path in directory.glob("*.tar*"):
        subprocess.run(["tar", "-xf", path], cwd=directory, check=True)
    return directory / f"{NAME}-{archive.read_version(build.ROOT)}"


def cut_off(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a network of its own, in which there is nothing, and without anybody's settings for pip."""
    alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    return subprocess.run(
        [*alone, *map(str, command)], env={"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull, **environment},
        capture_output=True, text=True, check=False, timeout=WITHIN, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_release_and_its_wheelhouse_install_without_a_network(
    release: Path, authority: Authority, tmp_path: Path
) -> None:
    if namespaces.refusal() is not None or shutil.which("unshare") is None:
        pytest.skip("needs network namespaces and unshare")
    files = authority.issue("rpi-0001")
    done = cut_off(
        "bash", release / "installers" / "install-rpi.bash", "--prefix", tmp_path, "--python", sys.executable,
        "--wheelhouse", f"{release}-wheelhouse", "--endpoint", "localhost", "--thing-name", "rpi-0001",
        "--certificate", files.certificate, "--private-key", files.private_key, "--non-interactive",
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
    program = tmp_path / "opt" / "aws" / NAME / "bin" / NAME
    assert f"{NAME} {archive.read_version(build.ROOT)}\n" == cut_off(program, "--version").stdout
    report = json.loads(cut_off(program, "--dry-run").stdout)
    assert {"header", "metrics"} <= set(report)


def test_the_wheelhouse_has_all_packages_for_every_python_and_platform_it_promises(release: Path) -> None:
    """pip finds a complete set for each, in the wheelhouse alone."""
    missing = []
    for platform, tags in wheelhouse.PLATFORMS.items():
        for python in wheelhouse.PYTHONS:
            options = [option for tag in tags for option in ("--platform", tag)]
            command = [
                sys.executable, "-m", "pip", "download", "--quiet", "--no-index", "--no-deps", "--isolated",
                "--only-binary", ":all:", "--find-links", f"{release}-wheelhouse", "--python-version", python,
                "--dest", f"{release}-check", *options, "-r", str(release / "requirements.txt"),
            ]  # fmt: skip
            done = cut_off(*command)
            if done.returncode:
                missing.append(f"{platform}, Python {python}: {done.stderr}")
    assert [] == missing
