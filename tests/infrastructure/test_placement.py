from __future__ import annotations

import pytest

from tests.infrastructure.deployer import skip_without

skip_without()

from infrastructure.placement import place  # noqa: E402


@pytest.mark.parametrize(
    ("wanted", "placed", "expected"),
    [
        pytest.param([], {}, {}, id="nothing is nowhere"),
        pytest.param(["a", "b", "c"], {}, {"a": 1, "b": 1, "c": 2}, id="stacks are filled one after another"),
        pytest.param(["b", "a"], {"a": 2, "b": 1}, {"b": 1, "a": 2}, id="things stay, whatever their order is"),
        pytest.param(["c", "a"], {"a": 1}, {"a": 1, "c": 1}, id="a room that is free is taken"),
        pytest.param(["c"], {"a": 1, "b": 1}, {"c": 2}, id="what is about to go has its room until it has gone"),
        pytest.param(["c", "d"], {"a": 1, "x": 2, "y": 2}, {"c": 1, "d": 3}, id="gaps first, then behind the last"),
        pytest.param(["n"], {"a": 3}, {"n": 1}, id="stacks that went leave their numbers"),
        pytest.param(["n"], {"a": 1, "b": 1, "c": 1}, {"n": 2}, id="a stack that is too full gets no more"),
        pytest.param(["a", "z"], {"a": 1, "b": 1}, {"a": 1, "z": 2}, id="what goes and what comes do not meet"),
    ],
)
def test_things_are_placed(wanted: list[str], placed: dict[str, int], expected: dict[str, int]) -> None:
    assert expected == place(wanted, placed, most=2)


def test_a_thing_that_went_and_comes_back_takes_any_room() -> None:
    placed = place(["a", "b", "c"], {}, most=2)
    without_a = place(["b", "c"], placed, most=2)
    assert {"b": 1, "c": 2, "d": 1} == (with_d := place(["b", "c", "d"], without_a, most=2))
    assert {"b": 1, "c": 2, "d": 1, "a": 2} == place(["b", "c", "d", "a"], with_d, most=2)
