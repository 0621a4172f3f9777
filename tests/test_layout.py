"""The rooms of the house stay apart: who may import whom, and what a device never loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Python 3.9 cannot list its own modules.
STANDARD_LIBRARY = getattr(sys, "stdlib_module_names", None) or set(sys.builtin_module_names) | {
    path.stem for path in Path(ast.__file__).parent.iterdir()
}
GROUND_FLOOR = sorted((ROOT / "device_defender").rglob("*.py"))
DEVICE = sorted((ROOT / "defender_publisher").rglob("*.py"))
DETECT = sorted((ROOT / "defender_detect").rglob("*.py"))
INFRASTRUCTURE = sorted((ROOT / "infrastructure").rglob("*.py"))
DEPLOYER = [ROOT / "deploy.py", *INFRASTRUCTURE]


def names_imported_by(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    return {node.module or ""} if isinstance(node, ast.ImportFrom) else set()


def imports_of(path: Path) -> set[str]:
    return {name for node in ast.walk(ast.parse(path.read_text())) for name in names_imported_by(node)}


def imports_any(path: Path, *modules: str) -> set[str]:
    return {name for name in imports_of(path) for each in modules if name == each or name.startswith(each + ".")}


@pytest.mark.parametrize("path", GROUND_FLOOR, ids=lambda path: path.name)
def test_the_ground_floor_imports_nothing_of_ours_and_msgspec_only(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports_of(path)}
    assert roots - STANDARD_LIBRARY <= {"msgspec", "device_defender"}


@pytest.mark.parametrize("path", [*DEVICE, ROOT / "amazon-defender-publisher"], ids=lambda path: path.name)
def test_the_device_side_never_imports_the_deployers_or_detects_packages(path: Path) -> None:
    assert set() == imports_any(
        path, "boto3", "botocore", "aws_cdk", "defender_detect", "demo", "cryptography", "amqtt"
    )


@pytest.mark.parametrize("path", DEVICE + DETECT + INFRASTRUCTURE, ids=lambda path: path.name)
def test_only_the_scripts_parse_arguments_start_timeloop_or_exit(path: Path) -> None:
    assert set() == imports_any(path, "argparse", "timeloop")
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    assert set() == calls & {"sys.exit", "exit", "os._exit", "quit"}


@pytest.mark.parametrize("path", DETECT, ids=lambda path: path.name)
def test_detect_knows_nothing_of_the_publisher_but_the_format(path: Path) -> None:
    assert imports_any(path, "defender_publisher") <= {"defender_publisher.report"}


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


@pytest.mark.parametrize("path", DEPLOYER, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_deployer_knows_nothing_of_what_runs_on_devices_or_detects(path: Path) -> None:
    assert set() == imports_any(path, "defender_publisher", "defender_detect", "demo", "tests")


@pytest.mark.parametrize("path", DEPLOYER, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_synthesis_and_the_constructs_import_aws_cdk(path: Path) -> None:
    makes_templates = path.parent.name == "constructs" or path.name == "synthesis.py"
    assert makes_templates or set() == imports_any(path, "aws_cdk", "constructs", "jsii")


@pytest.mark.parametrize("path", DEPLOYER, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_imports_aws_cdk_is_imported_when_it_is_needed(path: Path) -> None:
    if path.parent.name == "constructs":
        return
    at_once = {name for node in ast.parse(path.read_text()).body for name in names_imported_by(node)}
    assert set() == {
        name for name in at_once if name.startswith(("infrastructure.synthesis", "infrastructure.construct"))
    }


@pytest.mark.parametrize("path", INFRASTRUCTURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_provisions_reads_no_arguments_and_prints_through_the_screen(path: Path) -> None:
    names = {
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Attribute, ast.Name))
    }
    assert set() == names & {"sys.argv", "print", "input"}


@pytest.mark.parametrize(
    "module", ["plan", "placement", "names", "description", "things", "profiles", "keys", "bundles"]
)
def test_what_is_planned_or_kept_here_talks_to_nobody(module: str) -> None:
    path = ROOT / "infrastructure" / f"{module}.py"
    used = {name.removeprefix("infrastructure.") for name in imports_of(path) if name.startswith("infrastructure.")}
    apart = {"registry", "changesets", "rollout", "membership", "handover", "destruction", "drift", "detect", "screen"}
    assert set() == used & apart
    assert set() == imports_any(path, "boto3", "botocore")


def test_planning_and_rolling_out_load_no_aws_cdk() -> None:
    if sys.version_info < (3, 10) or not all(map(find_spec, ("boto3", "cryptography", "rich"))):
        pytest.skip("needs Python 3.10 or later, and infrastructure/requirements.txt")
    code = "import sys, deploy; print(sorted({'aws_cdk', 'constructs', 'jsii'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "[]" == done.stdout.strip()
