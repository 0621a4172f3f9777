"""The local cluster of Apache Flink, as far as it goes without Flink: its settings, and the made-up fleet."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from demo.flink.home import NoFlink, find_wheel, make_settings, write_settings
from demo.flink.reports import GAP, make_document, make_profile, make_records
from demo.flink.single import evaluate


def test_whatever_a_cluster_listens_on_is_bound_to_loopback(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, Path(sys.executable))
    addresses = {key: value for key, value in settings.items() if re.search("host|address", key)}
    assert 6 == len(addresses)
    assert {"127.0.0.1"} == set(addresses.values())
    assert 'rest.address: "127.0.0.1"\n' in write_settings(settings)


def test_a_machine_without_flink_is_told_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NoFlink, match="run: make install-flink"):
        find_wheel(tmp_path / "bin" / "python")


def test_a_fleet_is_the_same_each_time_in_the_order_of_time_and_raises_every_type_of_event() -> None:
    records = list(make_records(200, 6))
    assert records == list(make_records(200, 6))
    times = [json.loads(record)["t"] for record in records]
    assert sorted(times) == times
    assert GAP < (times[-1] - times[0]) / 1000
    alarms = [json.loads(line) for line in evaluate(records, [(0.0, make_document(make_profile()))])]
    assert {"in-alarm", "alarm-cleared", "alarm-invalidated"} == {each["violationEventType"] for each in alarms}
