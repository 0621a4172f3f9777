"""The temperature of the hottest processor."""

from __future__ import annotations

from collections import namedtuple

import psutil
import pytest

from defender_publisher.collectors import temperature
from defender_publisher.collectors.temperature import Reading
from defender_publisher.errors import CollectError


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([Reading("cpu_thermal", 48.3)], "cpu_thermal"),
        ([Reading("cpu-thermal", 48.3)], "cpu-thermal"),
        ([Reading("nvme", 90.0), Reading("coretemp", 40.0), Reading("coretemp", 50.0)], "coretemp"),
        ([Reading("acpitz", 90.0), Reading("k10temp", 50.0)], "k10temp"),
        ([Reading("CPU-therm", 50.0), Reading("GPU-therm", 60.0)], "CPU-therm"),
        ([Reading("x86_pkg_temp", 50.0)], "x86_pkg_temp"),
    ],
)
def test_the_hottest_processor_sensor_counts_whatever_is_hotter(readings, expected):
    found = temperature.hottest_cpu(readings)
    assert (expected, max(reading.celsius for reading in readings if reading.sensor == expected)) == found


@pytest.mark.parametrize("readings", [[], [Reading("nvme", 40.0), Reading("acpitz", 27.8), Reading("BAT0", 30.0)]])
def test_other_sensors_are_not_the_processors(readings):
    assert temperature.hottest_cpu(readings) is None


def write_zone(directory, number, name, text):
    zone = directory / f"thermal_zone{number}"
    zone.mkdir()
    (zone / "type").write_text(name + "\n")
    (zone / "temp").write_text(text + "\n")


@pytest.fixture
def without_sensors(monkeypatch):
    monkeypatch.setattr(psutil, "sensors_temperatures", dict, raising=False)


def test_thermal_zones_help_out_where_there_is_no_sensor(tmp_path, without_sensors):
    write_zone(tmp_path, 0, "cpu-thermal", "47774")
    write_zone(tmp_path, 1, "cpu-thermal", "48312")
    write_zone(tmp_path, 2, "gpu-thermal", "99000")
    write_zone(tmp_path, 3, "cpu-thermal", "broken")
    (tmp_path / "thermal_zone4").mkdir()
    assert 48.31 == temperature.cpu_temperature(str(tmp_path))


def test_zero_degrees_are_a_temperature(tmp_path, without_sensors):
    write_zone(tmp_path, 0, "cpu-thermal", "0")
    assert 0.0 == temperature.cpu_temperature(str(tmp_path))


def test_sensors_come_before_thermal_zones(tmp_path, monkeypatch):
    sensor = namedtuple("sensor", "label current high critical")
    seen = {"k10temp": [sensor("Tctl", 61.125, None, None), sensor("Tdie", 55.0, None, None)]}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: seen, raising=False)
    write_zone(tmp_path, 0, "cpu-thermal", "99000")
    assert 61.12 == temperature.cpu_temperature(str(tmp_path))


def test_a_machine_without_any_sensor_has_no_temperature(tmp_path, monkeypatch):
    monkeypatch.delattr(psutil, "sensors_temperatures", raising=False)
    with pytest.raises(CollectError, match="no sensor of its processor's temperature"):
        temperature.cpu_temperature(str(tmp_path))
