"""What Detect answers once and ends: a check, a replay, what is kept."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from demo.authority import Authority, Files
from tests.detect.receive.test_receiver import (
    HOST,
    PATIENCE,
)
from tests.detect.test_script import SCRIPT, arguments_for, run, run_here, write_config

WRONG_CONFIGURATION, UNAVAILABLE = 78, 69


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Files:
    return authority.issue("detect", ["localhost", HOST])


@pytest.fixture
def files(authority: Authority, server: Files) -> list[str]:
    return arguments_for(authority, server)


PROFILE = {
    "securityProfileName": "cpu",
    "behaviors": [
        {
            "name": "idle",
            "metric": "cpu_usage",
            "criteria": {"comparisonOperator": "less-than", "value": {"number": 50}},
        }
    ],
}


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "cpu.json"
    path.write_text(json.dumps(PROFILE))
    return path


def recorded(number: int) -> str:
    body = {"header": {"report_id": number, "version": "1.0"}, "metrics": {}}
    body["custom_metrics"] = {"cpu_usage": [{"number": 90}]}
    return json.dumps({"thingName": f"rpi-{number}", "timestamp": 1_700_000_000 + number, "report": body})


def test_a_configuration_that_is_right_is_said_so(profile, files, tmp_path):
    config = write_config(tmp_path, files, {"state_directory": "state"}, profiles=["cpu.json"])
    ended = run_here("--check-config", str(config))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"cpu: 1 behavior, for all\nkept in {tmp_path / 'state'}\n"
    assert not (tmp_path / "state").exists()


def test_profiles_alone_can_be_checked(profile):
    ended = run_here("--check-config", "--profiles", str(profile))
    assert ended.returncode == 0
    assert ended.stdout == "cpu: 1 behavior, for all\nnothing is kept: no state directory\n"


def test_the_check_says_line_by_line_what_only_aws_evaluates(profile):
    document = json.loads(profile.read_text())
    learnt = {"name": "ml", "metric": "cpu_usage", "criteria": {"mlDetectionConfig": {"confidenceLevel": "HIGH"}}}
    document["behaviors"].append(learnt)
    profile.write_text(json.dumps({**document, "additionalMetricsToRetain": ["aws:source-ip-address"]}))
    ended = run("--check-config", "--profiles", str(profile))
    assert (0, "cpu: 1 behavior, for all") == (ended.returncode, ended.stdout.splitlines()[0])
    first, second = ended.stderr.splitlines()
    assert 'security profile cpu: behaviors[1] "ml" is not evaluated here: ' in first
    assert "security profile cpu: additionalMetricsToRetain[0] is not kept here: aws:source-ip-address is a" in second


@pytest.mark.parametrize(
    ("agent", "detect", "message"),
    [
        ({"authentication": {}}, {}, "--endpoint is missing"),
        ({"authentication": {"endpoint": HOST}}, {}, "--root-ca is missing"),
        ({"debugg": True}, {}, 'agent.debugg is not a known key; did you mean "debug"?'),
        ({"topic": "a/{thing_name}", "embedded_broker": True}, {}, "agent.topic needs a broker of your own"),
        ({}, {"profiles": ["missing.json"]}, "missing.json: cannot be read: No such file or directory"),
        ({}, {"alerts": [{"type": "webhook", "url": "x"}]}, "detect.alerts[0].url must be an http or https URL"),
        (
            {},
            {"alerts": [{"type": "sns", "topic_arn": "x"}]},
            "topic_arn must be the ARN of an SNS topic, ",
        ),
    ],
)
def test_a_configuration_that_is_wrong_is_not_passed(agent, detect, message, files, tmp_path):
    ended = run_here("--check-config", str(write_config(tmp_path, files, agent, **detect)))
    assert (ended.returncode, ended.stdout) == (WRONG_CONFIGURATION, "")
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_certificate_that_cannot_be_used_is_found_by_the_check(files, tmp_path):
    ended = run_here("--check-config", str(write_config(tmp_path, files)), "--certificate", "/no/such.pem")
    assert ended.returncode == WRONG_CONFIGURATION
    assert "the certificate /no/such.pem cannot be read: No such file or directory" in ended.stderr


@pytest.mark.parametrize("by_pipe", [False, True])
def test_recorded_reports_are_replayed(by_pipe, profile, tmp_path):
    lines = b"\n".join([recorded(2).encode(), b"\xff", recorded(1).encode()])
    path = tmp_path / "reports.jsonl"
    path.write_bytes(lines)
    with path.open("rb") as file:
        source = ("-",) if by_pipe else (str(path),)
        ended = run("--profiles", str(profile), "--replay", *source, stdin=file)
    assert (ended.returncode, ended.stderr) == (0, "")
    unreadable, first, second, summary = ended.stdout.splitlines()
    assert unreadable.startswith("line 2 is no report: it must be JSON")
    assert "  rpi-1: in-alarm: idle of cpu" in first
    assert "  rpi-2: in-alarm: idle of cpu" in second
    assert summary == "2 reports of 2 things evaluated, 1 lines unreadable, 2 events"


@pytest.mark.parametrize("number", [1, 2_000])
def test_a_replay_whose_reader_has_gone_ends_without_a_word(number, profile, tmp_path):
    path = tmp_path / "reports.jsonl"
    path.write_text("\n".join(map(recorded, range(1, number + 1))))
    command = [sys.executable, str(SCRIPT), "--profiles", str(profile), "--replay", str(path)]
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "")


def feed_until_it_ends(process):
    """Write empty lines to a program, as many as it reads at a time: it sees a signal then that came before a read."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"\n" * 65536)
            process.stdin.flush()
        time.sleep(0.05)


def test_a_replay_that_is_interrupted_ends_without_a_traceback(profile):
    command = [sys.executable, str(SCRIPT), "--profiles", str(profile), "--replay", "-"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"\n" * 1_000_000)  # more than a pipe holds: when it is written, the program reads
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    feed_until_it_ends(process)  # the input does not end: it is the interruption that ends the program
    _, said = process.communicate()
    assert (process.returncode, said) == (130, b"")


def test_what_cannot_be_replayed_is_said(profile, tmp_path):
    nothing = run_here("--profiles", str(profile), "--replay", str(tmp_path / "nothing"))
    assert nothing.returncode == WRONG_CONFIGURATION
    assert (
        nothing.stderr == f"amazon-defender-detect: {tmp_path / 'nothing'} cannot be read: No such file or directory\n"
    )
    by_nothing = run("--replay", "-", input="")
    assert by_nothing.returncode == WRONG_CONFIGURATION
    assert "there is nothing to evaluate reports by: --profiles is missing" in by_nothing.stderr


@pytest.mark.parametrize("days", ["0", "-1", "nan", "1e308", "x"])
def test_a_wrong_number_of_days_is_said(days):
    ended = run_here("violations", f"--days={days}")
    assert ended.returncode == WRONG_CONFIGURATION
    assert ended.stderr.startswith("amazon-defender-detect: argument --days: ")
    assert ended.stderr.count("\n") == 1
