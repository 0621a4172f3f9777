"""The whole ladder, against a broker that behaves as the test says: it finds what is wrong and disturbs no daemon."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from defender_daemon.ladder import FAIL, NOT_TRIED, OK, Step, show
from defender_publisher.doctor import examination, local
from defender_publisher.doctor.case import Case
from tests.fakes.scripted_broker import ScriptedBroker
from tests.recipes import code_of
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PUBLISHER = ROOT / "amazon-defender-publisher"
Run = Callable[..., "subprocess.CompletedProcess[str]"]
WriteConfig = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("momentary")


def examined(path: Path) -> dict[str, Step]:
    return {step.rung: step for step in examination.examine(Case(path, {}, clock=time.time))}


def verdicts(steps: dict[str, Step]) -> list[str]:
    return [step.verdict for step in steps.values()]


def test_where_all_is_well_every_check_passes(write_config: WriteConfig, broker: ScriptedBroker) -> None:
    steps = examined(write_config(broker.port))
    assert [OK] * len(examination.RUNGS) == verdicts(steps), steps
    assert re.match(r"accepted after \d+\.\d", steps["report"].says)
    assert 1 == len(broker.seen.connects) == len(broker.seen.publishes)


def test_as_json_it_is_one_object(
    write_config: WriteConfig, free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not show(examination.examine(Case(write_config(free_port), {})), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert {"ok", "rungs"} == set(found)
    assert found["ok"] is False
    assert [rung.name for rung in examination.RUNGS] == [rung["rung"] for rung in found["rungs"]]
    assert {"rung", "verdict", "says", "advice"} == set(found["rungs"][0])
    assert {"ok", "fail", "not tried"} == {rung["verdict"] for rung in found["rungs"]}


def test_the_script_prints_the_ladder_and_ends_with_0_or_1(
    ask: Run, run: Run, write_config: WriteConfig, broker: ScriptedBroker, free_port: int
) -> None:
    done = ask("--doctor", write_config(broker.port))
    assert (0, "") == (done.returncode, done.stderr)
    assert ["OK"] * len(examination.RUNGS) == [line.split()[0] for line in done.stdout.splitlines()]
    done = ask("--doctor", "--json", write_config(broker.port), "--port", free_port)
    assert (1, "") == (done.returncode, done.stderr)
    assert ["TCP"] == [each["rung"] for each in json.loads(done.stdout)["rungs"] if each["verdict"] == FAIL]
    assert 1 == ask("--doctor", "none.json").returncode


def test_ctrl_c_ends_it_quietly_and_the_checks_done_are_on_the_screen(
    write_config: WriteConfig, start: Callable[..., subprocess.Popen[str]], broker: ScriptedBroker
) -> None:
    broker.script.tls = False
    process = start(sys.executable, PUBLISHER, "--doctor", write_config(broker.port))
    lines = [process.stdout.readline() for _ in range(12)]
    assert lines[-1].startswith("OK    TCP")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE)
    assert (1, "") == (process.returncode, output)


def test_a_check_costs_one_function_and_one_row(
    write_config: WriteConfig, free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As CONTRIBUTING.md says."""
    function, row = code_of("A check of the doctor")
    monkeypatch.setattr(local, "find_log_directory", None, raising=False)
    exec(function, vars(local))  # as if it stood there
    rung = eval(row.strip().rstrip(","), vars(examination))
    before = [each.name for each in examination.RUNGS].index("state directory") + 1
    monkeypatch.setattr(examination, "RUNGS", (*examination.RUNGS[:before], rung, *examination.RUNGS[before:]))
    missing = tmp_path / "no" / "log"
    steps = examined(write_config(free_port, logfile=str(missing)))
    assert Step("log", FAIL, f"{missing.parent} is not a directory", f"mkdir -p {missing.parent}") == steps["log"]
    assert NOT_TRIED == steps["endpoint"].verdict
    steps = examined(write_config(free_port))
    assert (Step("log", OK, "standard error"), OK) == (steps["log"], steps["endpoint"].verdict)
