"""Values packed for the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from defender_detect.metrics import Value
from defender_detect.store.packing import MOST_ALIKE, Packer, pack_values, unpack_values
from tests.detect.store.test_store import store

NOW = 1_800_000_000.25


@pytest.mark.parametrize("value", [0, 5, -3, 26.1, 1e300, (), (22, 443), (1.5, 2), ("sshd", "é"), ("10.0.0.1",), 2**62])
def test_a_value_comes_back_as_it_was(tmp_path: Path, value: Any) -> None:
    with store(tmp_path) as kept:
        kept.add("rpi-1", NOW, {"other": 1, "metric": value})
        assert kept.flush()
        ((when, found),) = kept.values("rpi-1", "metric", NOW, NOW + 1)
    assert (NOW, value, type(value)) == (when, found, type(found))


@pytest.mark.parametrize(
    ("value", "expected"), [(10**30, 1e30), (10**400, None), (("a\ud800",), ("a?",)), ((1, 10**30), (1, 1e30))]
)
def test_what_no_database_can_hold_is_kept_as_nearly_as_can_be(value: Any, expected: Any) -> None:
    assert [(1, expected), (2, 5)] == list(unpack_values(pack_values({"a": value, "b": 5}, {"a": 1, "b": 2})))


def test_reports_of_the_same_metrics_are_packed_as_each_alone_would_be() -> None:
    packer = Packer()
    packer.numbers.update(a=1, b=2)
    reports: list[dict[str, Value]] = [{"a": 5, "b": 6}, {"b": 7, "a": (8,)}, {"a": 9, "b": ("x",)}, {}]
    for values in reports:
        assert pack_values(values, packer.numbers) == packer.pack(values)
    assert [(1, 5)] == list(unpack_values(packer.pack({"a": 5, "new": 6})))  # which has no number yet
    packer.numbers["new"] = 3
    assert [(1, 5), (3, 6)] == list(unpack_values(packer.pack({"a": 5, "new": 6})))
    packer.forget()
    packer.numbers.update(a=4)
    assert [(4, 5)] == list(unpack_values(packer.pack({"a": 5, "b": 6})))
    for number in range(2 * MOST_ALIKE):
        packer.numbers[f"m{number}"] = number
        assert [(number, 1)] == list(unpack_values(packer.pack({f"m{number}": 1})))
