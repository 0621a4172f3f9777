"""The rooms of the house stay apart: who may import whom, and what a device never loads."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Python 3.9 cannot list its own modules.
STANDARD_LIBRARY = getattr(sys, "stdlib_module_names", None) or set(sys.builtin_module_names) | {
    path.name.partition(".")[0] for part in (".", "lib-dynload") for path in Path(ast.__file__).parent.glob(f"{part}/*")
}
GROUND_FLOOR = sorted((ROOT / "device_defender").rglob("*.py"))
DEVICE = sorted((ROOT / "defender_publisher").rglob("*.py"))
CLOUDWATCH = sorted((ROOT / "defender_cloudwatch").rglob("*.py"))
DETECT = sorted((ROOT / "defender_detect").rglob("*.py"))
ROOMS: dict[str, set[str]] = {  # Detect's, from the ground up: the rooms that each may import
    "authority": set(),
    "evaluate": set(),
    "store": {"evaluate"},
    "judge": set(),
    "receive": {"judge"},
    "alerts": {"evaluate", "judge"},
    "ask": {"evaluate", "store", "judge", "alerts"},
    "console": {"evaluate", "store"},
    "flink": {"evaluate", "judge", "alerts"},
    "api": {"evaluate", "store", "ask"},
}
IN_ROOMS = [path for path in DETECT if path.parent.name in ROOMS]
INFRASTRUCTURE = sorted((ROOT / "infrastructure").rglob("*.py"))
DEPLOYER = [ROOT / "deploy.py", *INFRASTRUCTURE]
HOUSES = {
    "defender_publisher": [*DEVICE, ROOT / "amazon-defender-publisher"],
    "defender_cloudwatch": CLOUDWATCH,
    "defender_detect": [*DETECT, ROOT / "amazon-defender-detect"],
    "infrastructure": DEPLOYER,
}

TESTS = {  # where the tests of each house are; in the same rooms
    "device_defender": "device_defender",
    "defender_daemon": "daemon",
    "defender_publisher": "publisher",
    "defender_cloudwatch": "cloudwatch",
    "defender_detect": "detect",
    "infrastructure": "infrastructure",
}
WITHOUT_TESTS = {  # that define nothing to test by itself
    "__main__.py": "only a process can run it: test_script.py and test_daemon.py do",
    "errors.py": "classes and their sentences, which the tests of those who raise them read",
    "receive/asking.py": "what a broker wants of who answers: tests/detect/test_renewal.py asks one",
    "alerts/target.py": "what every target is: test_targets.py asks it of all that there are",
    "constructs/*.py": "one synthesis makes them all, in seconds: test_synthesis.py looks at the templates",
}


def names_imported_by(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    return {node.module or ""} if isinstance(node, ast.ImportFrom) else set()


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def imports_of(path: Path) -> set[str]:
    return {name for node in nodes_of(path) for name in names_imported_by(node)}


def modules_used_by(path: Path) -> set[str]:
    """Return the modules that are imported when a module is, or its functions run, and the names taken from them."""
    unused = {
        inner
        for node in nodes_of(path)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(ast.Module(node.body, []))
    }
    used = [node for node in nodes_of(path) if node not in unused]
    whole = {name for node in used for name in names_imported_by(node)}
    return whole | {
        f"{node.module}.{each.name}" for node in used if isinstance(node, ast.ImportFrom) for each in node.names
    }


def imports_any(path: Path, *modules: str) -> set[str]:
    return {name for name in imports_of(path) for each in modules if name == each or name.startswith(each + ".")}


def each_of(paths: Iterable[Path], look: Callable[[Path], set[str]]) -> dict[str, set[str]]:
    """Return what is wrong with each of these files that has something wrong."""
    return {str(path.relative_to(ROOT)): wrong for path in paths if (wrong := look(path))}


def others_of(path: Path) -> set[str]:
    """Return whose packages a file imports, other than Python's own."""
    return {name.split(".")[0] for name in imports_of(path)} - STANDARD_LIBRARY


def test_the_ground_floor_imports_msgspec_and_nothing_of_ours() -> None:
    assert {} == each_of(GROUND_FLOOR, lambda path: others_of(path) - {"msgspec", "device_defender"})


@pytest.mark.parametrize("house", HOUSES)
def test_no_house_imports_anothers(house: str) -> None:
    others = {"demo", "tests", *HOUSES} - {house}
    assert {} == each_of(HOUSES[house], lambda path: imports_any(path, *others))


def test_the_device_side_never_imports_the_deployers_or_detects_packages() -> None:
    paths = [*DEVICE, *CLOUDWATCH, ROOT / "amazon-defender-publisher"]
    assert {} == each_of(paths, lambda path: imports_any(path, "boto3", "botocore", "aws_cdk", "cryptography", "amqtt"))


PARSE = ("arguments.py",)  # and, for the type of what was parsed, what does what it says
CARRY_OUT = ("__main__.py", "questions.py")
END = ("__main__.py", "daemon.py")


def test_only_the_programs_outline_parses_arguments_starts_timeloop_or_exits() -> None:
    assert {} == each_of(DEVICE + CLOUDWATCH + DETECT + INFRASTRUCTURE, what_only_an_outline_does)


def what_only_an_outline_does(path: Path) -> set[str]:
    parses = set() if path.name in (*PARSE, *CARRY_OUT) else imports_any(path, "argparse")
    repeats = set() if path.name == "daemon.py" else imports_any(path, "timeloop")
    calls = {dotted(node.func) for node in nodes_of(path) if isinstance(node, ast.Call)}
    ends = set() if path.name in END else calls & {"sys.exit", "exit", "os._exit", "quit"}
    return parses | repeats | ends


def dotted(node: ast.AST) -> str:
    """Return a name, or an attribute of one; empty for anything else."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_no_modules_import_each_other_in_a_circle_not_even_when_they_run() -> None:
    """What a type checker alone imports is no arrow: a name in an annotation."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in chain((ROOT / "defender_daemon").rglob("*.py"), GROUND_FLOOR, *HOUSES.values())
        if path.suffix == ".py"
    }
    arrows = {name: {each for each in modules_used_by(path) if each in modules} for name, path in modules.items()}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as circle:
        pytest.fail(" <- ".join(circle.args[1]))


def test_every_room_of_detect_has_its_place_in_the_order() -> None:
    assert set(ROOMS) == {path.parent.name for path in DETECT if path.parent != ROOT / "defender_detect"}
    for index, (room, below) in enumerate(ROOMS.items()):
        assert set() == below - set(list(ROOMS)[:index]), f"{room} imports upwards"


def test_the_page_about_the_design_names_types_that_are_where_it_says() -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    rows = re.findall(r"^\| (\w+) \| .* \| `(\w+/\w+\.py)` \|$", text, re.MULTILINE)
    assert len(rows) > 10
    for noun, path in rows:
        tree = ast.parse((ROOT / "defender_detect" / path).read_text())
        defined = {ast.unparse(each.targets[0]) for each in tree.body if isinstance(each, ast.Assign)}
        defined |= {each.name for each in tree.body if isinstance(each, ast.ClassDef)}
        assert noun in defined, f"{noun} is not in {path}"


def test_no_import_of_detect_runs_upwards() -> None:
    assert {} == each_of(IN_ROOMS, above_the_room_of)


def above_the_room_of(path: Path) -> set[str]:
    names = {name.split(".")[1] for name in imports_of(path) if name.startswith("defender_detect.")}
    above_the_rooms = {"attachments", "audience", "config", "config_file", "mailbox", "service", "showing"}
    return names & (set(ROOMS) | above_the_rooms) - {path.parent.name} - ROOMS[path.parent.name]


def test_what_the_daemons_share_imports_msgspec_the_start_and_the_ground_floor_only() -> None:
    paths = sorted((ROOT / "defender_daemon").rglob("*.py"))
    assert {} == each_of(
        paths, lambda path: others_of(path) - {"msgspec", "device_defender", "defender_daemon", "defender_start"}
    )


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("report", {"publisher", "transport", "mqtt", "session", "settings", "device"}),
        ("state", {"publisher", "transport", "mqtt", "session", "settings", "device", "report"}),
        ("transport", {"publisher", "report", "state", "device", "collectors", "mqtt"}),
        ("mqtt", {"publisher", "report", "state", "device", "collectors"}),
        ("session", {"publisher", "report", "state", "device", "collectors", "settings", "mqtt"}),
        ("sdk", {"publisher", "report", "state", "device", "collectors", "settings", "mqtt", "session", "transports"}),
        ("publisher", {"mqtt", "session", "tcp", "console", "collectors"}),
        ("errors", {""}),
    ],
)
def test_imports_go_one_way(module: str, forbidden: set[str]) -> None:
    path = ROOT / "defender_publisher" / f"{module}.py"
    used = {name.removeprefix("defender_publisher").removeprefix(".").split(".")[0] for name in imports_of(path)
            if name.startswith("defender_publisher")}  # fmt: skip
    assert set() == used & forbidden


def test_one_module_knows_the_inside_of_the_sdk() -> None:
    found = {path.name for path in DEVICE if imports_any(path, "AWSIoTPythonSDK.core")}
    assert {"sdk.py", "websocket.py"} == found  # whose doctor asks where AWS credentials are


def test_a_json_publisher_loads_neither_cbor_nor_the_doctor_nor_anything_of_the_deployers() -> None:
    code = (
        "import sys, defender_publisher.__main__, defender_publisher.daemon, defender_publisher.mqtt\n"
        "print(sorted({'cbor2', 'boto3', 'aws_cdk', 'cryptography', 'asyncio', 'tarfile', 'defender_publisher.doctor', "
        "'defender_publisher.questions', 'defender_publisher.provisioning', "
        "'defender_publisher.support'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "[]" == done.stdout.strip()


def test_the_package_starts_nothing_when_it_is_imported() -> None:
    code = "import threading, defender_publisher.mqtt, defender_publisher.publisher; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "1" == done.stdout.strip()


NOT_CONSTRUCTS = [path for path in DEPLOYER if path.parent.name != "constructs"]


def test_only_synthesis_and_the_constructs_import_aws_cdk() -> None:
    paths = [path for path in NOT_CONSTRUCTS if path.name != "synthesis.py"]
    assert {} == each_of(paths, lambda path: imports_any(path, "aws_cdk", "constructs", "jsii"))


def test_what_imports_aws_cdk_is_imported_when_it_is_needed() -> None:
    assert {} == each_of(NOT_CONSTRUCTS, synthesis_imported_at_once)


def synthesis_imported_at_once(path: Path) -> set[str]:
    at_once = {name for node in ast.parse(path.read_text()).body for name in names_imported_by(node)}
    return {name for name in at_once if name.startswith(("infrastructure.synthesis", "infrastructure.construct"))}


def test_what_provisions_reads_no_arguments_and_prints_through_the_screen() -> None:
    forbidden = {"sys.argv", "print", "input"}
    assert {} == each_of(INFRASTRUCTURE, lambda path: forbidden & {dotted(node) for node in nodes_of(path)})


@pytest.mark.parametrize(
    "module",
    ["plan", "placement", "names", "description", "things", "profiles", "keys", "bundles", "sending", "component"],
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


def test_a_module_has_a_test_file_of_its_name_in_the_same_room() -> None:
    missing = []
    for house, directory in TESTS.items():
        for path in sorted((ROOT / house).rglob("*.py")):
            test = ROOT / "tests" / directory / path.relative_to(ROOT / house).with_name(f"test_{path.name}")
            listed = path.name == "__init__.py" or any(map(path.match, WITHOUT_TESTS))
            if not test.exists() and not listed:
                missing.append(str(test.relative_to(ROOT)))
    assert [] == missing


def test_a_test_file_is_of_a_module_or_of_the_whole_house() -> None:
    """No test is left where its module was before it moved."""
    left = []
    for house, directory in TESTS.items():
        for test in (ROOT / "tests" / directory).rglob("test_*.py"):
            room, name = test.relative_to(ROOT / "tests" / directory).parent, test.stem.removeprefix("test_") + ".py"
            elsewhere = [each for each in TESTS if each != house and (ROOT / each / room / name).exists()]
            if not (ROOT / house / room / name).exists() and elsewhere:
                left.append(f"{test.relative_to(ROOT)} is not in tests/{TESTS[elsewhere[0]]}")
    assert [] == left
