"""What packages add is found by its name, loaded when it is asked for, and named where it cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from defender_daemon.extensions import ExtensionError, find, load, points_of, shown

GROUP = "defender_test.things"
Install = Callable[[str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package of one module with one entry point, as pip does."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(package: str, name: str, source: str) -> None:
        (tmp_path / f"{package}.py").write_text(source)
        information = tmp_path / f"{package}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {package}:thing\n")

    return install


def test_a_thing_is_found_by_its_name_and_loaded(install: Install) -> None:
    assert (None, []) == (find(GROUP, "lamp", "are a lamp"), list(points_of(GROUP)))
    install("extension_of_a_lamp", "lamp", "thing = 7")
    point = find(GROUP, "lamp", "are a lamp")
    assert point is not None
    assert 7 == load(point)
    assert shown(point).startswith("extension_of_a_lamp:thing")
    assert find(GROUP, "desk", "are a desk") is None


def test_two_of_one_name_are_both_named(install: Install) -> None:
    install("extension_of_one", "lamp", "")
    install("extension_of_another", "lamp", "")
    with pytest.raises(ExtensionError, match=r"^extension_of_another:thing.* and extension_of_one:thing.* both are a"):
        find(GROUP, "lamp", "are a lamp")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("x = 1", "AttributeError: "),
        ("raise OSError('no\\nbus')", "OSError: no bus"),
        ("this is no Python", "SyntaxError: "),
    ],
    ids=["a module", "an attribute", "an error", "no Python"],
)
def test_whatever_loading_raises_is_one_sentence(
    install: Install, request: pytest.FixtureRequest, source: str, reason: str
) -> None:
    install(f"extension_{abs(hash(source))}", "lamp", source)
    point = find(GROUP, "lamp", "are a lamp")
    assert point is not None
    with pytest.raises(ExtensionError) as refused:
        load(point)
    assert f" cannot be loaded: {reason}" in str(refused.value)
    assert "\n" not in str(refused.value)
