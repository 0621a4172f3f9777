"""Custom metrics together: what is measured, what is left out and what the log says about it."""

from __future__ import annotations

import logging

import pytest

from defender_daemon.collected import CustomMetric
from defender_publisher.collectors.custom import CustomMetrics, metric_type
from defender_publisher.errors import ConfigError
from defender_publisher.snapshot import CustomValue
from device_defender.metrics import BUILT_INS


def command(line, metric_type="number", timeout=10.0):
    return CustomMetric(type=metric_type, command=["/bin/sh", "-c", line], timeout=timeout)


def messages(caplog):
    return [record.getMessage() for record in caplog.records]


def test_commands_and_built_ins_are_collected_under_their_names_with_their_types():
    definitions = {
        "fans": command("echo 3"),
        "services": command("echo sshd", "string-list"),
        "load_average": CustomMetric(),
        "boot_age": CustomMetric(source="uptime"),
    }
    values = CustomMetrics(definitions).collect()
    assert list(definitions) == list(values)
    assert CustomValue("number", 3) == values["fans"]
    assert CustomValue("string-list", ["sshd"]) == values["services"]
    assert "number-list" == values["load_average"].type
    assert ("number", int) == (values["boot_age"].type, type(values["boot_age"].value))


def test_no_custom_metrics_collect_nothing():
    assert {} == CustomMetrics({}).collect()


def test_a_value_of_zero_or_an_empty_list_is_not_left_out():
    values = CustomMetrics({"zero": command("echo 0"), "none": command("true", "ip-address-list")}).collect()
    assert {"zero": CustomValue("number", 0), "none": CustomValue("ip-address-list", [])} == values


def test_every_collect_measures_again(tmp_path):
    metrics = CustomMetrics({"calls": command(f"echo >>{tmp_path}/calls; wc -l <{tmp_path}/calls")})
    assert [1, 2, 3] == [metrics.collect()["calls"].value for _ in range(3)]


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        (command("echo broken >&2; exit 2"), "/bin/sh ended with status 2: broken"),
        (
            CustomMetric(source="disk_usage", path="/no/such/path"),
            "[Errno 2] No such file or directory: '/no/such/path'",
        ),
        (
            command("echo 1234567890123456"),
            "numbers must have at most 15 digits before the point, found one that is longer",
        ),
        (  # awk prints large numbers so
            command("echo 1.23457e+16"),
            "numbers must have at most 15 digits before the point, found one that is longer",
        ),
    ],
)
def test_a_metric_that_fails_is_left_out_with_one_warning_and_the_others_stay(definition, reason, caplog):
    values = CustomMetrics({"broken": definition, "fine": command("echo 1")}).collect()
    assert {"fine": CustomValue("number", 1)} == values
    assert [f"custom metric broken left out of the report: {reason}"] == messages(caplog)
    record = caplog.records[0]
    assert ("defender_publisher", logging.WARNING, None) == (record.name, record.levelno, record.exc_info)


def test_a_metric_that_works_again_is_back(tmp_path):
    metrics = CustomMetrics({"flag": command(f"cat {tmp_path}/flag")})
    assert {} == metrics.collect()
    (tmp_path / "flag").write_text("1")
    assert {"flag": CustomValue("number", 1)} == metrics.collect()


def test_a_bug_in_a_built_in_is_logged_with_its_traceback_and_not_raised(tmp_path, caplog):
    (tmp_path / "meminfo").write_text("Nonsense: 1 kB\n")
    metrics = CustomMetrics({"memory_usage": CustomMetric(), "fine": command("echo 1")}, str(tmp_path))
    assert {"fine": CustomValue("number", 1)} == metrics.collect()
    assert ["custom metric memory_usage left out of the report, unexpectedly"] == messages(caplog)
    assert [KeyError] == [record.exc_info[0] for record in caplog.records]


def test_built_ins_measure_the_named_proc(tmp_path):
    (tmp_path / "uptime").write_text("12.34 5.67\n")
    assert {"uptime": CustomValue("number", 12)} == CustomMetrics({"uptime": CustomMetric()}, str(tmp_path)).collect()


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_built_in_knows_its_own_type_under_any_name(name):
    assert BUILT_INS[name].type == metric_type(name, CustomMetric())
    assert BUILT_INS[name].type == metric_type("mine", CustomMetric(source=name))


def test_a_command_has_the_type_that_is_given_even_under_a_built_ins_name():
    assert "string-list" == metric_type("cpu_usage", command("true", "string-list"))


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        (CustomMetric(), "custom_metrics.mine must have a `command`, or a `source` among cpu_usage, memory_usage"),
        (CustomMetric(command=["true"]), "custom_metrics.mine.type is required with `command`"),
    ],
)
def test_a_definition_that_says_neither_what_nor_how_is_an_error_at_the_start(definition, problem):
    with pytest.raises(ConfigError, match=problem):
        CustomMetrics({"mine": definition})
