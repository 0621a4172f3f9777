"""The values of metrics are exported in AWS's schema: in batches, in order, bounded, and none larger than may be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from defender_detect.alerts import export
from defender_detect.alerts.alerts import Alerts
from defender_detect.alerts.export import BATCH, MetricsExporter, payloads_of
from defender_detect.alerts.followers import Reported
from defender_detect.errors import AlertError
from defender_detect.service import Service
from device_defender.report import LARGEST_PAYLOAD
from tests.detect.alerts.test_of_profiles import EXPORTED, METRIC, TOPIC, profile, rules
from tests.detect.test_service import with_ports
from tests.waiting import FOR_EVER, PATIENCE, wait_until


class Broker:
    """What was published on a topic."""

    def __init__(self) -> None:
        self.failures = 0
        self.messages: list[dict[str, Any]] = []

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        if self.failures:
            self.failures -= 1
            raise AlertError("there is no connection")
        assert (TOPIC, False) == (topic, retain)
        assert len(payload) <= LARGEST_PAYLOAD
        self.messages.append(json.loads(payload))

    def values(self) -> list[Any]:
        return [each for message in list(self.messages) for each in message["metrics"]]


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


def reported(thing: str = "rpi-1", profiles: tuple[str, ...] = ("p",), **values: Any) -> Reported:
    return Reported(thing, 1.8e9, frozenset(profiles), values, ())


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


def test_what_was_not_published_is_later_and_in_order(broker: Broker, exporter: Export) -> None:
    broker.failures = 2
    export = exporter()
    for number in range(20):
        export.report(reported(cpu=number))
    assert wait_until(lambda: len(broker.values()) == 20)
    assert list(range(20)) == [each["value"]["number"] for each in broker.values()]


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


def test_no_message_is_larger_than_one_may_be_and_odd_text_is_escaped() -> None:
    values = [export.Exported("t", 1.0, "names", ("x" * 60_000, "\ud800")) for _ in range(5)]
    found = list(payloads_of(values))
    assert 5 == sum(len(json.loads(each)["metrics"]) for each in found)
    assert max(map(len, found)) <= LARGEST_PAYLOAD


def test_the_service_exports_what_things_report(broker: Broker) -> None:
    exporting = profile(topic=TOPIC, **EXPORTED)
    exporter = MetricsExporter(TOPIC, {"p": exporting.exported}, broker.publish, 0.01)
    service = Service(rules(exporting), None, Alerts(to_log=False, followers=[exporter]))
    service.restore(lambda *_: None)
    service.accept(with_ports("rpi-1", 3), 1.8e9)
    assert wait_until(lambda: broker.values())
    assert ("rpi-1", METRIC, {"count": 3}) == tuple(broker.values()[0][key] for key in ("thing", "name", "value"))
    service.close(1.8e9)
