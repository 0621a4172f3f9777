"""While a daemon uses the client ID the doctor asks it, and never connects a second time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from defender_daemon.ladder import DOUBT, FAIL, NOT_TRIED, OK, Step, is_well
from defender_daemon.status import LastError
from defender_publisher.doctor import examination, local, mqtt, network
from defender_publisher.doctor.case import Case
from defender_publisher.doctor.daemon import ago
from defender_publisher.errors import Problem
from defender_publisher.settings import read_settings
from defender_publisher.state import StateFile
from defender_publisher.status import (
    STATUS_FILE,
    ConnectionStatus,
    Counts,
    LastAccepted,
    LastReport,
    Status,
    config_hash,
)
from demo.authority import Authority
from tests.fakes.scripted_broker import ScriptedBroker
from tests.publisher.doctor.test_examination import examined

TOP = ("MQTT CONNECT", "SUBACK", "report")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "ALERT_WITHIN", 0.1)


@pytest.fixture
def broker(authority: Authority) -> Iterator[ScriptedBroker]:
    files = authority.issue("broker", ["localhost"])
    broker = ScriptedBroker(files.certificate, files.private_key, authority.certificate)
    yield broker
    assert [] == broker.seen.connects  # whatever the daemon says, nobody pushes it out
    broker.close()


@pytest.fixture
def ask(
    write_config: Callable[..., Path], broker: ScriptedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., list[Step]]]:
    """Return the top rungs while a daemon runs whose status is as the keywords say, and no second passes."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    path = write_config(broker.port)
    daemon = StateFile(tmp_path / "state")
    daemon.acquire()

    def ask(status: bool = True, agent: dict[str, object] | None = None, **changes: object) -> list[Step]:
        config = write_config(broker.port, **(agent or {}))
        if status:
            content = {**status_of(config), **changes}
            (tmp_path / "state" / STATUS_FILE).write_bytes(msgspec.json.encode(Status(**content)))
        steps = examined(config)
        return [steps[name] for name in TOP]

    assert path.exists()
    yield ask
    daemon.release()


def status_of(path: Path) -> dict[str, object]:
    now = time.time()
    return {
        "version": "0.1.0",
        "pid": 4711,
        "thing_name": "rpi-0001",
        "config_file": str(path),
        "config_hash": config_hash(read_settings(path, {})),
        "since": now - 8000,
        "interval": 300,
        "connection": ConnectionStatus("localhost", 8883, True, now - 7300),
        "last_report": LastReport(1700000000, now - 20, "accepted", 0.2),
        "last_accepted": None,
        "last_error": None,
        "counts": Counts(27, 0, 0, 1),
        "next_report": now + 281,
    }


def test_a_healthy_daemon_answers_for_the_last_checks(ask: Callable[..., list[Step]]) -> None:
    connect, suback, report = ask()
    assert [OK] * 3 == [step.verdict for step in (connect, suback, report)]
    assert (
        "(2 h ago): reported by the running daemon (pid 4711), which a second connection would disconnect"
        in connect.says
    )
    assert "SIGHUP" not in connect.says
    assert "(pid 4711)" in suback.says
    assert report.says.startswith("the daemon's last report, 1700000000, 20 s ago: accepted; the next is due in 281 s")


def test_a_daemon_without_a_connection_fails_with_its_last_error(ask: Callable[..., list[Step]]) -> None:
    now = time.time()
    connect, suback, report = ask(
        connection=ConnectionStatus("localhost", 8883, False, now - 600),
        last_error=LastError(now - 30, "the name x cannot be resolved; check the DNS", 9),
    )
    assert [FAIL, NOT_TRIED, NOT_TRIED] == [step.verdict for step in (connect, suback, report)]
    assert connect.says.startswith("not connected since ")
    assert "its last error, 30 s ago, 9 times: the name x cannot be resolved; check the DNS" == connect.advice


@pytest.mark.parametrize("verdict", ["rejected: InvalidPayload", "unanswered", "delivered"])
def test_a_last_report_that_did_not_arrive_fails(ask: Callable[..., list[Step]], verdict: str) -> None:
    *_, report = ask(last_report=LastReport(7, time.time() - 20, verdict, None))
    assert FAIL == report.verdict
    assert f"7, 20 s ago: {verdict}" in report.says
    assert "look into the daemon's log" == report.advice


def test_on_a_topic_of_ones_own_delivered_is_all_there_is(ask: Callable[..., list[Step]]) -> None:
    *_, report = ask(agent={"topic": "a/{thing_name}"}, last_report=LastReport(7, time.time(), "delivered", None))
    assert OK == report.verdict


def test_a_last_report_of_long_ago_fails(ask: Callable[..., list[Step]]) -> None:
    *_, report = ask(last_report=LastReport(7, time.time() - 601, "accepted", 0.1))
    assert (FAIL, True) == (report.verdict, report.advice.startswith("more than two intervals ago"))


def test_a_daemon_that_has_not_reported_yet_is_no_failure(ask: Callable[..., list[Step]]) -> None:
    *_, report = ask(last_report=None)
    assert NOT_TRIED == report.verdict
    assert report.says.startswith("the daemon has not reported yet; the next is due in ")


def test_throttled_after_a_start_without_state_proves_the_way(ask: Callable[..., list[Step]]) -> None:
    refused = LastReport(7, time.time() - 20, "rejected: Throttled", None)
    *_, report = ask(last_report=refused, proven=LastAccepted(7, time.time() - 20))
    assert OK == report.verdict
    *_, report = ask(last_report=refused, proven=LastAccepted(6, time.time() - 320))
    assert FAIL == report.verdict


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(20, "accepted"), (700, "accepted"), (20, "rejected: InvalidPayload")]
)
def test_an_accepted_report_overrules_whatever_looks_wrong_before_it(
    write_config: Callable[..., Path], ask: Callable[..., list[Step]], monkeypatch: pytest.MonkeyPatch, seconds: float,
    verdict: str, tmp_path: Path,
) -> None:  # fmt: skip
    ask(last_report=LastReport(7, time.time() - seconds, verdict, 0.1))
    monkeypatch.setattr(local, "file_problems", lambda authentication: [Problem("the key cannot be read", "use sudo")])
    (path,) = tmp_path.glob("*.json")
    steps = list(examination.examine(Case(path, {}, clock=time.time)))
    found = {step.rung: step for step in steps}
    if (seconds, verdict) == (20, "accepted"):
        assert (DOUBT, NOT_TRIED, OK) == tuple(found[name].verdict for name in ("key and certificate", "TLS", "report"))
        assert "but the running daemon's report 7 was accepted 2" in found["key and certificate"].says
        assert is_well(steps)
    else:
        assert FAIL == found["key and certificate"].verdict
        assert not is_well(steps)


def test_another_configuration_than_the_daemons_is_said(ask: Callable[..., list[Step]]) -> None:
    connect, *_ = ask(config_hash="0" * 12)
    assert OK == connect.verdict
    assert connect.says.endswith("its configuration is not this one (kill -HUP 4711 lets it read its file again)")


def test_a_daemon_that_tells_nothing_is_left_alone_and_a_failure(ask: Callable[..., list[Step]]) -> None:
    connect, *above = ask(status=False)
    assert [FAIL, NOT_TRIED, NOT_TRIED] == [step.verdict for step in (connect, *above)]
    assert "stop it and run this again" in connect.advice


def test_a_damaged_status_file_fails(ask: Callable[..., list[Step]], tmp_path: Path) -> None:
    (tmp_path / "state" / STATUS_FILE).write_text("{")
    assert FAIL == ask(status=False)[0].verdict


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "0 s ago"),
        (0.4, "0 s ago"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7200, "2 h ago"),
        (200_000, "2 days ago"),
    ],
)
def test_a_length_of_time_is_said_in_a_unit_that_fits(seconds: float, expected: str) -> None:
    assert expected == ago(seconds)


def test_a_state_directory_of_another_user_may_hide_a_daemon_that_is_not_to_be_pushed_out(
    write_config: Callable[..., Path], broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(directory: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(mqtt, "publisher_runs", refuse)
    step = examined(write_config(broker.port))["MQTT CONNECT"]
    assert (FAIL, True) == (step.verdict, "sudo" in step.advice)


def test_a_daemon_that_starts_while_it_is_looked_for_is_not_pushed_out(
    ask: Callable[..., list[Step]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "publisher_runs", lambda directory: False)
    assert [OK] * 3 == [step.verdict for step in ask()]
