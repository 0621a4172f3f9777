"""`suggest` prints a profile of what is kept or was recorded, and says in a sentence why there is none."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from defender_detect.arguments import read_arguments
from defender_detect.errors import DetectError
from defender_detect.questions import answer
from defender_detect.store.store import Store
from tests.detect.ask.test_replay import TIME, recorded


def ask(*arguments: str) -> None:
    answer(read_arguments(["suggest", *arguments]))


def keep(directory: Path, **values: Any) -> None:
    now = time.time()
    with Store(directory) as kept:
        for number in range(300):
            for thing in ("rpi-1", "rpi-2"):
                kept.add(thing, now - 300 * (300 - number), values)
        kept.flush()


def test_what_is_kept_becomes_a_profile_and_what_is_to_know_stands_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path, **{"aws:listening-tcp-ports": (22,), "cpu_usage": 20})
    ask("--state-directory", str(tmp_path), "--name", "home", "--days", "2")
    printed, said = capsys.readouterr()
    document = json.loads(printed)
    assert ("home", ["cpu_usage", "listening-tcp-ports", "reports-regularly"]) == (
        document["securityProfileName"],
        [each["name"] for each in document["behaviors"]],
    )
    assert said.startswith("What was normal in 600 reports of 2 things from ")
    assert said.endswith("In these reports it would have raised no alarm.\n")


def test_a_recording_can_be_learned_from_and_a_group_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, groups, config = (tmp_path / name for name in ("reports.jsonl", "groups.json", "config.json"))
    lines = [recorded(cpu, thingName=thing, timestamp=TIME + 300 * number) for number in range(20)
             for thing, cpu in (("rpi-1", 20), ("gw-1", 60))]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, lines)) + "\nno report\n")
    groups.write_text('{"gateways": ["gw-1"]}')
    config.write_text(json.dumps({"detect": {"thing_groups": "groups.json"}}))
    ask(str(config), "--recorded", str(path), "--group", "gateways")
    printed, said = capsys.readouterr()
    assert 90 == json.loads(printed)["behaviors"][0]["criteria"]["value"]["number"]
    first, second, *_ = said.splitlines()
    assert "lines that are no reports: 1; --replay says of each why" == first
    assert second.startswith("What was normal in 20 reports of 1 thing from ")
    with pytest.raises(DetectError, match="--group must be a group of detect.thing_groups, got x; there are gateways"):
        ask(str(config), "--recorded", str(path), "--group", "x")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "give Detect's CONFIG with agent.state_directory, or --state-directory, or --recorded"),
        (["--state-directory", "."], "nothing is kept in ."),
        (["--recorded", "nothing.jsonl"], "nothing.jsonl cannot be read: No such file or directory"),
        (["--recorded", "/dev/null"], "there is no report to learn from in /dev/null"),
    ],
)
def test_without_reports_that_is_said(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DetectError) as refused:
        ask(*arguments)
    assert str(refused.value).startswith(sentence)
    assert "" == capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "two words", "x" * 129])
def test_a_name_that_aws_would_not_take_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="78"):
        ask("--name", name)
    assert "argument --name: must be 1 to 128 letters, digits and : _ -" in capsys.readouterr().err
