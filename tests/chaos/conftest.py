"""What the fault tests share: scenes that are gone after the test, and the table of faults at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.authority import Authority
from tests import namespaces
from tests.chaos.scene import Scene


@pytest.fixture
def new_scene(tmp_path: Path, authority: Authority) -> Iterator[Callable[..., Scene]]:
    """Make a scene with the options of `Scene`; needs root, or it skips the test."""
    if namespaces.refusal() is not None:
        pytest.skip(str(namespaces.refusal()))
    made: list[Scene] = []

    def new_scene(**options: object) -> Scene:
        made.append(Scene(tmp_path / f"scene{len(made)}", authority, **options))  # type: ignore[arg-type]
        return made[-1]

    yield new_scene
    for scene in made:
        scene.close()


@pytest.fixture
def scene(new_scene: Callable[..., Scene]) -> Scene:
    """A scene with the scripted broker in which the first report was accepted."""
    scene = new_scene()
    scene.begin()
    return scene
