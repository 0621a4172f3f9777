"""What the fault tests share: scenes that are gone after the test, and the table of faults at the end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.authority import Authority
from tests import namespaces
from tests.chaos.scene import Scene
from tests.chaos.service import MOSQUITTO, MosquittoService
from tests.chaos.table import Fault, format_table, row_of

QUICK_ONLY = "not slow"  # the tests of `make test`, which needs no table
OUTCOMES = ("passed", "failed", "xfailed", "xpassed")
CONFIG: list[pytest.Config] = []


@pytest.fixture
def new_scene(tmp_path: Path, authority: Authority) -> Iterator[Callable[..., Scene]]:
    """Make a scene with the options of `Scene`, in which the first report was accepted; needs root, or it skips."""
    if namespaces.refusal() is not None:
        pytest.skip(str(namespaces.refusal()))
    if not all(map(shutil.which, ("ip", "setpriv", "unshare"))):
        pytest.skip("needs iproute2 and util-linux")
    made: list[Scene] = []

    def new_scene(begin: bool = True, **options: object) -> Scene:
        if options.get("service") is MosquittoService and MOSQUITTO is None:
            pytest.skip("mosquitto is not installed")
        made.append(Scene(tmp_path / f"scene{len(made)}", authority, **options))  # type: ignore[arg-type]
        if begin:
            made[-1].begin()
        return made[-1]

    yield new_scene
    for scene in made:
        scene.close()


@pytest.fixture
def fault(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Fault:
    """The row of the test in the table of faults, named by `@pytest.mark.fault(name)`."""
    marker = request.node.get_closest_marker("fault")
    return Fault(marker.args[0] if marker else request.node.name, record_property)


def pytest_configure(config: pytest.Config) -> None:
    """Remember where to say what becomes of each fault; the summary of the quick tests does without."""
    if config.option.markexpr != QUICK_ONLY:
        CONFIG.append(config)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say what became of a fault as soon as its test has ended."""
    row = row_of(report.user_properties, outcome_of(report)) if report.when == "call" else None
    terminals = [config.pluginmanager.get_plugin("terminalreporter") for config in CONFIG]
    for terminal in terminals if row else ():
        if terminal is not None:  # xdist's workers have none
            terminal.ensure_newline()
            terminal.write_line(row.line())


def outcome_of(report: pytest.TestReport) -> str:
    """Return pytest's word for it, or that a test failed as it was said to."""
    return "known" if report.skipped and hasattr(report, "wasxfail") else report.outcome


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of the faults, unless only the quick ones were asked for."""
    reports = [report for kind in OUTCOMES for report in terminalreporter.stats.get(kind, [])]
    rows = [row_of(report.user_properties, outcome_of(report)) for report in reports if report.when == "call"]
    known = sorted((row for row in rows if row), key=lambda row: row.fault)
    if known and config.option.markexpr != QUICK_ONLY:
        terminalreporter.section("faults")
        terminalreporter.write_line(format_table(known))
