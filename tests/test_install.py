"""`pip`, `uvx`, `uv tool` and `pipx` install both programs, with everything that they need of this project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "build", "*.egg-info", "tests", "benchmarks")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is installed, below a path with a space in it."""
    source = tmp_path_factory.mktemp("the source") / "project"
    shutil.copytree(ROOT, source, ignore=LEFT_OUT)
    return source


@pytest.fixture(scope="module")
def prefix(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the project is installed, without the packages it depends on."""
    prefix = tmp_path_factory.mktemp("the prefix")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--prefix", str(prefix), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No matching distribution found for setuptools" in done.stderr:
        pytest.skip("setuptools, which builds the wheel, cannot be had here")
    assert 0 == done.returncode, done.stderr
    return prefix


def run(prefix: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    library = sysconfig.get_path("purelib", vars={"base": str(prefix)})
    environment = {**os.environ, "PYTHONPATH": library}
    command = [str(prefix / "bin" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=environment)


DAEMONS = ("daemon", "publisher", "cloudwatch", "detect")


@pytest.mark.parametrize("script", ["amazon-defender-publisher", "amazon-defender-detect"])
def test_the_scripts_are_on_the_path(prefix: Path, script: str) -> None:
    assert f"{script} 0.1.0\n" == run(prefix, script, "--version").stdout


def test_an_installed_publisher_reports_and_has_amazons_roots(prefix: Path) -> None:
    done = run(prefix, "amazon-defender-publisher", "--dry-run")
    assert (0, "") == (done.returncode, done.stderr)
    assert '"metrics"' in done.stdout
    assert [prefix] == [prefix for _ in prefix.rglob("roots/amazon-root-ca.pem")]


def test_an_installed_publisher_does_without_the_deployers_packages(prefix: Path) -> None:
    (metadata,) = prefix.rglob("METADATA")
    lines = [line for line in metadata.read_text().splitlines() if line.startswith("Requires-Dist: ")]
    needed = {re.split(r"[<>=!; ]", line.split()[1])[0].lower() for line in lines if "extra ==" not in line}
    assert {"awsiotpythonsdk", "cbor2", "msgspec", "psutil", "timeloop"} == needed


def test_every_package_of_the_project_is_installed(prefix: Path) -> None:
    packages = {
        path.parent.relative_to(ROOT)
        for name in ("device_defender", *(f"defender_{each}" for each in DAEMONS))
        for path in (ROOT / name).rglob("__init__.py")
    }  # fmt: skip
    library = Path(sysconfig.get_path("purelib", vars={"base": str(prefix)}))
    assert packages == {each for each in packages if (library / each / "__init__.py").exists()}


@pytest.mark.parametrize("side", ["publisher", "detect"])
def test_what_is_installed_is_a_module_too(prefix: Path, side: str) -> None:
    library = sysconfig.get_path("purelib", vars={"base": str(prefix)})
    command = [sys.executable, "-m", f"defender_{side}", "--version"]
    environment = {**os.environ, "PYTHONPATH": library}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=environment)
    assert (f"amazon-defender-{side} 0.1.0\n", "") == (done.stdout, done.stderr)


@pytest.mark.slow
def test_an_environment_whose_path_has_a_space_holds_programs_that_run(source: Path, tmp_path: Path) -> None:
    """pip writes their first lines, which a kernel reads that knows no quotation marks."""
    environment = tmp_path / "an environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(source)]
    subprocess.run(pip, check=True)
    program = environment / "bin" / "amazon-defender-publisher"
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False, cwd="/")
    assert ("amazon-defender-publisher 0.1.0\n", "") == (done.stdout, done.stderr)
    done = subprocess.run([str(program), "--dry-run"], capture_output=True, text=True, check=False, cwd="/")
    assert f"run: '{python}' -m pip install" in done.stderr or "run: uv pip install --python" in done.stderr


def test_the_distribution_says_what_it_is(prefix: Path) -> None:
    (metadata,) = prefix.rglob("METADATA")
    text = metadata.read_text()
    assert "License-Expression: Apache-2.0" in text
    assert "Requires-Python: >=3.9" in text
    assert {"defender_publisher", "defender_detect"} == {each.parent.name for each in prefix.rglob("py.typed")}


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where uv and pipx are, from PyPI."""
    environment = tmp_path_factory.mktemp("tools")
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    done = subprocess.run([environment / "bin" / "pip", "install", "--quiet", "uv", "pipx"], check=False)
    if done.returncode:
        pytest.skip("uv and pipx cannot be had here")
    return environment / "bin"


def installed_by(tmp_path: Path, *command: object) -> subprocess.CompletedProcess[str]:
    """Run an installer that keeps everything below `tmp_path`."""
    places = ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_BIN_HOME", "PIPX_HOME", "PIPX_BIN_DIR", "UV_CACHE_DIR")
    environment = {**os.environ, **{name: str(tmp_path / name.lower()) for name in places}, "UV_PYTHON": sys.executable}
    environment["PIPX_DEFAULT_PYTHON"] = sys.executable
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, cwd="/", env=environment, timeout=600
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_uvx_runs_the_publisher_of_a_directory(tools: Path, source: Path, tmp_path: Path) -> None:
    uvx = [tools / "uvx", "--from", source, "amazon-defender-publisher"]
    done = installed_by(tmp_path, *uvx, "--version")
    assert "amazon-defender-publisher 0.1.0\n" == done.stdout, done.stderr
    assert '"metrics"' in installed_by(tmp_path, *uvx, "dry-run").stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_uv_tool_and_pipx_install_a_publisher_that_runs(tools: Path, source: Path, tmp_path: Path) -> None:
    for command, directory in [
        ((tools / "uv", "tool", "install", source), "xdg_bin_home"),
        ((tools / "pipx", "install", source), "pipx_bin_dir"),
    ]:
        done = installed_by(tmp_path, *command)
        assert 0 == done.returncode, done.stderr
        done = installed_by(tmp_path, tmp_path / directory / "amazon-defender-publisher", "--dry-run")
        assert (0, "") == (done.returncode, done.stderr)
