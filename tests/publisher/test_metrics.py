"""A metric costs one file and one row; a package adds its own by an entry point, and its faults are said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.quick import ONCE, quick
from tests.recipes import code_of, copy_checkout, insert

ROOT = Path(__file__).resolve().parents[2]
PUBLISHER = ROOT / "amazon-defender-publisher"

TYPES = "number, number-list, string-list, ip-address-list"

Run = Callable[..., "subprocess.CompletedProcess[str]"]

# The package of the recipe: a module, and the entry point that leads to the metric in it.
RACK = """
from defender_publisher.metrics import Metric

def start(where):
    looks = []
    def measure():
        looks.append(where.path)
        return 20.0 + len(looks)
    return measure

temperature = Metric("number", "The temperature in the rack.", start)
names = Metric("string-list", "Who is in the rack.", lambda where: lambda: ["caf\\udce9", where.procfs_path])
"""


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., None]:
    """Install a package of one module into a directory, as pip does."""

    def install(package: str, source: str, **points: str) -> None:
        (tmp_path / f"{package}.py").write_text(source)
        information = tmp_path / f"{package}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (information / "entry_points.txt").write_text("\n".join(["[defender_publisher.metrics]", *lines, ""]))

    return install


@pytest.fixture
def run(ask: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run the publisher where the packages are installed, with custom metrics."""
    monkeypatch.syspath_prepend(tmp_path)

    def run(question: str, **custom_metrics: object) -> subprocess.CompletedProcess[str]:
        config = tmp_path / "config.json"
        agent = {"thing_name": "pi-1", "dry_run": True}
        config.write_text(json.dumps({"agent": agent, "custom_metrics": custom_metrics}))
        return ask(question, config)

    yield run
    for package in ("rack", "shelf"):  # each test has others
        sys.modules.pop(package, None)


def test_a_package_adds_a_metric_by_an_entry_point(install: Callable[..., None], run: Run) -> None:
    install("rack", RACK, rack_temperature="rack:temperature", rack_names="rack:names")
    metrics = {"rack_temperature": {}, "mine": {"source": "rack_names", "type": "string-list"}}
    done = run("--check-config", **metrics)
    assert (0, "") == (done.returncode, done.stderr)
    assert "custom_metrics.rack_temperature = number, the metric rack_temperature (file)" in done.stdout
    assert "custom_metrics.mine = string-list, the metric rack_names (file)" in done.stdout
    done = run("--dry-run", **metrics)
    assert (0, "") == (done.returncode, done.stderr)
    expected = {"rack_temperature": [{"number": 22.0}], "mine": [{"string_list": ["caf\ufffd", "/proc"]}]}
    assert expected == json.loads(done.stdout)["custom_metrics"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import nowhere", "rack:temperature{} cannot be loaded: ModuleNotFoundError: No module named 'nowhere'"),
        ("x = 1", "rack:temperature{} cannot be loaded: AttributeError: module 'rack' has no attribute 'temperature'"),
        ("raise OSError('no bus')", "rack:temperature{} cannot be loaded: OSError: no bus"),
        ("this is no Python", "rack:temperature{} cannot be loaded: SyntaxError: invalid syntax (rack.py, line 1)"),
        (
            "temperature = 21",
            f"rack:temperature{{}} must be a Metric of a type among {TYPES}, got an object of int",
        ),
        (
            RACK.replace('Metric("number"', 'Metric("celsius"'),
            f"rack:temperature{{}} must be a Metric of a type among {TYPES}, got the type 'celsius'",
        ),
    ],
    ids=["no module", "no attribute", "an error", "no Python", "a number", "no type"],
)
def test_a_metric_that_cannot_be_used_is_a_problem_of_the_configuration_in_one_sentence(
    install: Callable[..., None], run: Run, source: str, expected: str
) -> None:
    install("rack", source, rack_temperature="rack:temperature")
    done = run("--check-config", rack_temperature={})
    assert 78 == done.returncode
    package = " of the package rack" if sys.version_info >= (3, 10) else ""
    assert f"custom_metrics.rack_temperature cannot be measured: {expected.format(package)}" in done.stderr
    assert 1 == len(done.stderr.splitlines())


def test_two_packages_with_one_metric_are_both_named(install: Callable[..., None], run: Run) -> None:
    install("rack", RACK, rack_temperature="rack:temperature")
    install("shelf", RACK, rack_temperature="shelf:temperature")
    done = run("--check-config", rack_temperature={})
    assert 78 == done.returncode
    for each in ("rack:temperature", "shelf:temperature", "both have a metric rack_temperature: uninstall one"):
        assert each in done.stderr


def test_a_name_that_nobody_has_is_told_with_the_nearest_of_all(install: Callable[..., None], run: Run) -> None:
    install("rack", RACK, rack_temperature="rack:temperature")
    done = run("--check-config", rack_temperatur={})
    assert 'of a metric of an installed package; did you mean "rack_temperature"?' in done.stderr
    done = run("--check-config", rack_temperature={"type": "string-list"})
    assert "custom_metrics.rack_temperature.type must be number for the source rack_temperature" in done.stderr


def test_a_built_in_is_never_a_packages(install: Callable[..., None], run: Run) -> None:
    install("rack", RACK, uptime="rack:names")
    done = run("--check-config", uptime={})
    assert "custom_metrics.uptime = number, the built-in uptime (file)" in done.stdout


FAILING = """
from defender_publisher.metrics import Metric

attempts = []

def start(where):
    attempts.append(1)
    if len(attempts) == 1:
        raise ConnectionError("the bus is not up yet")
    return lambda: len(attempts)

late = Metric("number", "", start)
text = Metric("number", "", lambda where: lambda: "21")
bug = Metric("number", "", lambda where: lambda: 1 / 0)
fine = Metric("number", "", lambda where: lambda: 7)
"""


def test_a_metric_that_fails_costs_itself_and_one_that_cannot_start_is_started_later(
    install: Callable[..., None], run: Run
) -> None:
    install("rack", FAILING, **{name: f"rack:{name}" for name in ("late", "text", "bug", "fine")})
    done = run("--dry-run", late={}, text={}, bug={}, fine={})
    assert 0 == done.returncode
    assert {"late": [{"number": 2}], "fine": [{"number": 7}]} == json.loads(done.stdout)["custom_metrics"]
    assert "custom metric late left out of the report: the bus is not up yet" in done.stderr
    assert "custom metric text left out of the report: numbers must be int or float, got str" in done.stderr
    assert "custom metric bug left out of the report, unexpectedly" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    return done.stdout


def test_no_package_is_looked_for_while_every_metric_is_a_built_in(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"agent": {"thing_name": "pi-1", "dry_run": True}, "custom_metrics": {"uptime": {}}}))
    code = (
        "import sys; from pathlib import Path; from defender_publisher.settings import read_settings\n"
        "from defender_publisher.device import ThisDevice\n"
        f"ThisDevice(read_settings(Path({str(config)!r}), {{}}).config)\n"
        "print({'importlib.metadata', 'importlib_metadata'} & set(sys.modules))"
    )
    assert "set()\n" == python(code)


def test_a_built_in_costs_one_file_and_one_row(tmp_path: Path) -> None:
    """As CONTRIBUTING.md says."""
    packages = ("device_defender", "defender_daemon", "defender_publisher")
    checkout = copy_checkout(tmp_path / "checkout", *packages, PUBLISHER.name)
    module, row = code_of("A built-in metric")
    (checkout / "defender_publisher" / "collectors" / "entropy.py").write_text(module)
    insert(checkout / "device_defender" / "metrics.py", '        "memory_usage": BuiltIn(\n', row)
    (tmp_path / "proc" / "sys" / "kernel" / "random").mkdir(parents=True)
    (tmp_path / "proc" / "sys" / "kernel" / "random" / "entropy_avail").write_text("256\n")
    agent = {"thing_name": "pi-1", "dry_run": True, "procfs_path": str(tmp_path / "proc")}
    blocks = dict.fromkeys(("listening_tcp_ports", "listening_udp_ports", "tcp_connections", "network_stats"), False)
    document = {"agent": agent, "metrics": blocks, "custom_metrics": {"entropy_available": {}}}
    (tmp_path / "config.json").write_text(json.dumps(document))
    dry_run = ("--dry-run", tmp_path / "config.json")
    command = quick(*dry_run, constants=ONCE, program=checkout / PUBLISHER.name)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (0, "") == (done.returncode, done.stderr)
    assert {"entropy_available": [{"number": 256}]} == json.loads(done.stdout)["custom_metrics"]
    code = "from reference import tables; print(tables.built_ins(), tables.json_schema())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # for what is not in the checkout, which comes first
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=checkout, env=environment)
    assert "| `entropy_available` | number | How many bits of entropy there are. |" in done.stdout
    assert '"entropy_available"' in done.stdout
