"""The processor's temperature."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

from defender_publisher.collectors.procfs import read_file
from defender_publisher.errors import CollectError

THERMAL_ZONES = "/sys/class/thermal"
# Raspberry Pi: cpu_thermal, bcm2835_thermal; Intel: coretemp, x86_pkg_temp; AMD: k8temp, k10temp, zenpower;
# i.MX: imx_thermal_zone; Qualcomm: tsens_tz_sensor0; Rockchip, Amlogic: soc_thermal
CPU_SENSOR = re.compile(r"cpu|coretemp|x86_pkg|k8temp|k10temp|zenpower|soc|bcm2835|imx|tsens", re.IGNORECASE)


class Reading(NamedTuple):
    """What one sensor says; `sensor` is its driver or zone, in degrees Celsius."""

    sensor: str
    celsius: float


def cpu_temperature(zones_path: str = THERMAL_ZONES) -> float:
    """Return the temperature of the hottest processor sensor, in degrees Celsius; raises CollectError without one.

    A board whose driver has no sensor of that name often has a thermal zone, so these come second.
    """
    hottest = hottest_cpu(_sensors()) or hottest_cpu(_zones(zones_path))
    if hottest is None:
        raise CollectError("this machine has no sensor of its processor's temperature")
    return round(hottest.celsius, 2)


def hottest_cpu(readings: Iterable[Reading]) -> Reading | None:
    """Return the reading of the hottest sensor whose name is a processor's, or None."""
    ours = [reading for reading in readings if CPU_SENSOR.search(reading.sensor)]
    return max(ours, key=lambda reading: reading.celsius, default=None)


def _sensors() -> list[Reading]:
    read = getattr(psutil, "sensors_temperatures", dict)  # psutil has it on Linux and FreeBSD only
    return [Reading(name, sensor.current) for name, sensors in read().items() for sensor in sensors]


def _zones(zones_path: str) -> list[Reading]:
    """Return the thermal zones' readings; a zone that is switched off answers with an error and is left out."""
    readings = []
    for zone in sorted(Path(zones_path).glob("thermal_zone*")):
        try:
            name, temperature = (read_file(str(zone / file)).decode().strip() for file in ("type", "temp"))
            readings.append(Reading(name, int(temperature) / 1000))
        except (CollectError, ValueError):
            continue
    return readings
