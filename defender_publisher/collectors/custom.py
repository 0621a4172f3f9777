"""The custom metrics of a configuration, ready to be measured."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from defender_publisher.collectors.attempt import attempt
from defender_publisher.collectors.builtins import STARTS, Measure, Where
from defender_publisher.collectors.value import limit_digits
from defender_publisher.config import CustomMetric
from defender_publisher.errors import ConfigError
from defender_publisher.snapshot import CustomValue
from device_defender.metrics import BUILT_INS


class CustomMetrics:
    """The custom metrics by name; those measured over time start at its construction."""

    def __init__(self, definitions: Mapping[str, CustomMetric], procfs_path: str = "/proc") -> None:
        self._types = {name: metric_type(name, definition) for name, definition in definitions.items()}
        self._measures = {name: _start(name, definition, procfs_path) for name, definition in definitions.items()}

    def collect(self) -> dict[str, CustomValue]:
        """Return every metric that can be measured now; one that cannot is left out, and logged."""
        values = {name: attempt(f"custom metric {name}", partial(self._measure, name)) for name in self._measures}
        return {name: value for name, value in values.items() if value is not None}

    def _measure(self, name: str) -> CustomValue:
        return CustomValue(self._types[name], limit_digits(self._measures[name]()))


def metric_type(name: str, definition: CustomMetric) -> str:
    """Return a custom metric's type in AWS IoT: the one given for a command, a built-in's own; raises ConfigError."""
    if definition.command is None:
        return BUILT_INS[_built_in(name, definition)].type
    if definition.type is None:
        raise ConfigError([f"custom_metrics.{name}.type is required with `command`"])
    return definition.type


def _start(name: str, definition: CustomMetric, procfs_path: str) -> Measure:
    if definition.command is None:
        return STARTS[_built_in(name, definition)](Where(definition.path, procfs_path))
    from defender_publisher.collectors.commands import run_command  # here, because it takes half a megabyte

    return partial(run_command, definition.command, metric_type(name, definition), definition.timeout)


def _built_in(name: str, definition: CustomMetric) -> str:
    source = definition.source or name
    if source not in BUILT_INS:
        raise ConfigError([f"custom_metrics.{name} must have a `command`, or a `source` among {', '.join(BUILT_INS)}"])
    return source
