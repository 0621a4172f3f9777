"""The custom metrics of a configuration, ready to be measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from defender_daemon.collected import CustomMetric
from defender_daemon.extensions import ExtensionError
from defender_publisher.collectors.attempt import attempt
from defender_publisher.collectors.value import fit
from defender_publisher.errors import ConfigError
from defender_publisher.metrics import Measure, Metric, Where, find
from defender_publisher.snapshot import CustomValue
from device_defender.metrics import BUILT_INS


class CustomMetrics:
    """The custom metrics by name; those measured over time start at its construction, or later if they cannot yet."""

    def __init__(self, definitions: Mapping[str, CustomMetric], procfs_path: str = "/proc") -> None:
        self._types = {name: metric_type(name, definition) for name, definition in definitions.items()}
        self._starts = {name: _start_of(name, definition, procfs_path) for name, definition in definitions.items()}
        self._measures: dict[str, Measure] = {}
        for name in definitions:
            attempt(f"custom metric {name}", partial(self._measure_of, name))

    def collect(self) -> dict[str, CustomValue]:
        """Return every metric that can be measured now; one that cannot is left out, and logged."""
        values = {name: attempt(f"custom metric {name}", partial(self._measure, name)) for name in self._types}
        return {name: value for name, value in values.items() if value is not None}

    def _measure(self, name: str) -> CustomValue:
        return CustomValue(self._types[name], fit(self._measure_of(name)(), self._types[name]))

    def _measure_of(self, name: str) -> Measure:
        if name not in self._measures:
            self._measures[name] = self._starts[name]()
        return self._measures[name]


def metric_type(name: str, definition: CustomMetric) -> str:
    """Return a custom metric's type in AWS IoT: the one given for a command, the source's own; raises ConfigError."""
    if definition.command is None:
        return _source(name, definition).type
    if definition.type is None:
        raise ConfigError([f"custom_metrics.{name}.type is required with `command`"])
    return definition.type


def _start_of(name: str, definition: CustomMetric, procfs_path: str) -> Callable[[], Measure]:
    if definition.command is None:
        return partial(_source(name, definition).start, Where(definition.path, procfs_path))
    from defender_publisher.collectors.commands import run_command  # here, because it takes half a megabyte

    measure = partial(run_command, definition.command, metric_type(name, definition), definition.timeout)
    return lambda: measure


def _source(name: str, definition: CustomMetric) -> Metric:
    try:
        metric = find(definition.source or name)
    except ExtensionError as error:
        raise ConfigError([f"custom_metrics.{name} cannot be measured: {error}"]) from error
    if metric is None:
        raise ConfigError([f"custom_metrics.{name} must have a `command`, or a `source` among {', '.join(BUILT_INS)}"])
    return metric
