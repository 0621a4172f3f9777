"""The rooms of the house stay apart: who may import whom, and what a device never loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DEVICE = sorted((ROOT / "defender_publisher").rglob("*.py"))
DETECT = sorted((ROOT / "defender_detect").rglob("*.py"))
DEPLOYER = sorted((ROOT / "infrastructure").rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def imports_any(path: Path, *modules: str) -> set[str]:
    return {name for name in imports_of(path) for each in modules if name == each or name.startswith(each + ".")}


@pytest.mark.parametrize("path", [*DEVICE, ROOT / "amazon-defender-publisher"], ids=lambda path: path.name)
def test_the_device_side_never_imports_the_deployers_or_detects_packages(path: Path) -> None:
    assert set() == imports_any(
        path, "boto3", "botocore", "aws_cdk", "defender_detect", "demo", "cryptography", "amqtt"
    )


@pytest.mark.parametrize("path", DEVICE + DETECT, ids=lambda path: path.name)
def test_only_the_scripts_parse_arguments_start_timeloop_or_exit(path: Path) -> None:
    assert set() == imports_any(path, "argparse", "timeloop")
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    assert set() == calls & {"sys.exit", "exit", "os._exit", "quit"}


@pytest.mark.parametrize("path", DETECT, ids=lambda path: path.name)
def test_detect_knows_nothing_of_the_publisher_but_the_format(path: Path) -> None:
    assert imports_any(path, "defender_publisher") <= {"defender_publisher.report"}


@pytest.mark.parametrize("path", [*DEPLOYER, ROOT / "deploy.py"], ids=lambda path: path.name)
def test_what_deploys_imports_nothing_of_what_it_deploys(path: Path) -> None:
    assert set() == imports_any(path, "defender_publisher", "defender_detect", "demo", "tests")


@pytest.mark.parametrize("path", DEPLOYER, ids=lambda path: path.name)
def test_only_synthesis_and_the_constructs_import_aws_cdk(path: Path) -> None:
    is_cdks = path.name == "synthesis.py" or path.parent.name == "constructs"
    assert is_cdks or set() == imports_any(path, "aws_cdk", "constructs")


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("report", {"publisher", "transport", "mqtt", "session", "settings", "device"}),
        ("state", {"publisher", "transport", "mqtt", "session", "settings", "device", "report"}),
        ("transport", {"publisher", "report", "state", "device", "collectors", "mqtt"}),
        ("mqtt", {"publisher", "report", "state", "device", "collectors"}),
        ("session", {"publisher", "report", "state", "device", "collectors", "settings", "mqtt"}),
        ("publisher", {"mqtt", "session", "tcp", "console", "collectors"}),
        ("config", {"publisher", "transport", "report", "collectors", "settings"}),
        ("errors", {""}),
    ],
)
def test_imports_go_one_way(module: str, forbidden: set[str]) -> None:
    path = ROOT / "defender_publisher" / f"{module}.py"
    used = {name.removeprefix("defender_publisher").removeprefix(".").split(".")[0] for name in imports_of(path)
            if name.startswith("defender_publisher")}  # fmt: skip
    assert set() == used & forbidden


def test_a_json_publisher_loads_neither_cbor_nor_the_doctor_nor_anything_of_the_deployers() -> None:
    code = (
        "import sys, importlib.machinery as m, importlib.util as u\n"
        f"l = m.SourceFileLoader('p', {str(ROOT / 'amazon-defender-publisher')!r})\n"
        "s = u.spec_from_loader('p', l); p = u.module_from_spec(s); l.exec_module(p)\n"
        "print(sorted({'cbor2', 'boto3', 'aws_cdk', 'cryptography', 'asyncio', 'tarfile', 'defender_publisher.doctor', "
        "'defender_publisher.support'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "[]" == done.stdout.strip()


def test_the_package_starts_nothing_when_it_is_imported() -> None:
    code = "import threading, defender_publisher.mqtt, defender_publisher.publisher; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "1" == done.stdout.strip()
