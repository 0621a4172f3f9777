"""The machine is measured; what cannot be measured is left out, and never a zero."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest

from defender_cloudwatch import metrics
from defender_cloudwatch.machine import Counters, Level, Machine
from defender_cloudwatch.metrics import Gauge, as_data, dimensions_of


def refuse(*_: object) -> Any:
    raise OSError(13, "Permission denied")


class Fake:
    """A machine whose counters are set by the test."""

    def __init__(self) -> None:
        self.time = 100.0
        self.disks: Counters = {"sda": (1000.0, 2000.0, 10.0, 20.0)}
        self.interfaces: Counters = {"eth0": (500.0, 600.0, 5.0, 6.0)}

    def machine(self, **others: Any) -> Machine:
        level = SimpleNamespace(percent=25.0, used=100, available=300, total=400)
        given: dict[str, Any] = {
            "cpu": lambda: 12.5,
            "cores": lambda: 4,
            "memory": lambda: level,
            "disks": lambda: self.disks,
            "interfaces": lambda: self.interfaces,
            "disk_usage": lambda path: level,
            "swap": lambda: level,
            "clock": lambda: self.time,
        }
        return Machine(**{**given, **others})


def measured(gauge: Gauge) -> dict[str, float]:
    return {metric.publisher: value for metric, value in gauge.measure()}


def test_rates_are_those_since_the_last_look() -> None:
    fake = Fake()
    gauge = Gauge(fake.machine())
    fake.time, fake.disks = 110.0, {"sda": (2000.0, 2100.0, 15.0, 20.0)}
    found = measured(gauge)
    assert (100.0, 10.0, 0.5, 0.0) == tuple(found[each.publisher] for each in metrics.DISK)
    assert 15 == len(found)
    assert (12.5, 4.0, 25.0) == (found["CPUUtilization"], found["CPUCount"], found["MemoryUtilization"])


def test_a_counter_that_shrank_began_again() -> None:
    fake = Fake()
    gauge = Gauge(fake.machine())
    fake.time, fake.interfaces = 110.0, {"eth0": (50.0, 700.0, 1.0, 7.0)}
    found = measured(gauge)
    assert (5.0, 10.0) == (found["NetworkIn"], found["NetworkOut"])
    assert all(value >= 0 for value in found.values())


def test_an_interface_that_comes_brings_its_history_not_as_a_rate() -> None:
    fake = Fake()
    gauge = Gauge(fake.machine())
    fake.time, fake.interfaces = 110.0, {**fake.interfaces, "usb0": (1e12, 1e12, 1e9, 1e9)}
    assert 0.0 == measured(gauge)["NetworkIn"]


@pytest.mark.parametrize("source", ["cpu", "cores", "memory", "disk_usage", "swap", "disks", "interfaces"])
def test_what_cannot_be_measured_is_left_out(source: str) -> None:
    fake = Fake()
    everything = measured(advance(Gauge(fake.machine()), fake))
    fake = Fake()
    found = measured(advance(Gauge(fake.machine(**{source: refuse})), fake))
    assert 0 < len(found) < len(everything)
    assert set(found) <= set(everything)


def advance(gauge: Gauge, fake: Fake) -> Gauge:
    fake.time += 10
    return gauge


def test_a_sensor_that_says_nan_is_left_out() -> None:
    fake = Fake()
    level = SimpleNamespace(percent=float("nan"), used=float("inf"), available=300, total=400)
    found = measured(advance(Gauge(fake.machine(memory=lambda: level, cpu=lambda: float("nan"))), fake))
    assert "MemoryAvailable" in found
    assert set() == {"CPUUtilization", "MemoryUtilization", "MemoryUsed"} & set(found)
    fake.interfaces = {"eth0": (float("nan"), 700.0, 1.0, 7.0)}
    gauge = Gauge(fake.machine())
    fake.time, fake.interfaces = 130.0, {"eth0": (float("nan"), 800.0, 1.0, 7.0)}
    found = measured(gauge)
    assert "NetworkIn" not in found
    assert 5.0 == found["NetworkOut"]


def test_no_swap_is_no_zero_percent() -> None:
    fake = Fake()
    none = SimpleNamespace(percent=0.0, total=0)
    assert "SwapUtilization" not in measured(Gauge(fake.machine(swap=lambda: none)))


def test_nothing_of_something_is_no_zero_percent() -> None:
    assert not math.isfinite(Level(0, 0, 0).percent)
    assert 33.3 == Level(1, 2, 3).percent


def test_this_machine_is_measured_and_can_be_sent() -> None:
    data = as_data(list(Gauge().measure()), "publisher", {"InstanceId": "rpi-0001"}, 1.25)
    assert "CPUCount" in {each["MetricName"] for each in data}
    json.dumps(data, allow_nan=False)
    assert [{"Name": "InstanceId", "Value": "rpi-0001"}] == data[0]["Dimensions"]


def test_metrics_have_the_agents_names_where_these_are_wanted() -> None:
    data = as_data([(metrics.CPU, 1.0), (metrics.DISK_USED, 2.0)], "agent", {}, 1.0)
    assert ["cpu_usage_active", "disk_used_percent"] == [each["MetricName"] for each in data]


def test_dimensions_are_those_that_are_named() -> None:
    assert {"InstanceId": "a"} == dimensions_of(["InstanceId"], "a")
    assert ["InstanceId", "Hostname"] == list(dimensions_of(["InstanceId", "Hostname"], "a"))
