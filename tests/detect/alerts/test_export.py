"""Values are exported in AWS's schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from defender_detect.alerts import export
from defender_detect.alerts.export import BATCH, MetricsExporter
from tests.detect.alerts.test_of_profiles import TOPIC, Broker, reported
from tests.waiting import FOR_EVER, PATIENCE, wait_until


@pytest.fixture
def broker() -> Broker:
    return Broker()


Export = Callable[..., MetricsExporter]


@pytest.fixture
def exporter(broker: Broker) -> Iterator[Export]:
    made: list[MetricsExporter] = []

    def exporter(interval: float = 0.01) -> MetricsExporter:
        made.append(MetricsExporter(TOPIC, {"p": ["cpu", "names"]}, broker.publish, interval))
        made[-1].begin(())
        return made[-1]

    yield exporter
    for each in made:
        each.close(PATIENCE)


def test_values_are_exported_in_awss_schema(broker: Broker, exporter: Export) -> None:
    export = exporter()
    export.report(reported(cpu=5, names=("a", "b"), other=7))
    export.report(reported("rpi-2", ("q",), cpu=5))
    assert wait_until(lambda: len(broker.values()) == 2)
    assert "1.0" == broker.messages[0]["version"]
    assert [
        {"name": "cpu", "thing": "rpi-1", "value": {"number": 5}, "version": 1, "timestamp": 1_800_000_000_000},
        {
            "name": "names",
            "thing": "rpi-1",
            "value": {"strings": ["a", "b"]},
            "version": 1,
            "timestamp": 1_800_000_000_000,
        },
    ] == broker.values()


def test_values_go_in_batches_and_at_the_end(broker: Broker, exporter: Export) -> None:
    export = exporter(FOR_EVER)
    for number in range(BATCH + 10):
        export.report(reported(f"t-{number}", cpu=number))
    assert wait_until(lambda: len(broker.values()) >= BATCH)
    export.close(PATIENCE)
    assert BATCH + 10 == len(broker.values())
    assert len(broker.messages) <= 4


def test_values_that_nobody_takes_are_bounded_and_that_is_said(
    broker: Broker, exporter: Export, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(export, "MOST_WAITING", 10)
    broker.failures = 10**9
    export_ = exporter()
    for number in range(100):
        export_.report(reported(cpu=number))
    assert len(export_._waiting) <= 10
    assert 1 == caplog.text.count("10 values are waiting; the oldest are dropped")
    broker.failures = 0
    assert wait_until(lambda: [each["value"]["number"] for each in broker.values()][-1:] == [99])
