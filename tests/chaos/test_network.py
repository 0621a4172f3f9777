"""Faults between the device and Device Defender, caused for real."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.scene import Scene
from tests.chaos.service import MosquittoService, ScriptedService


@pytest.mark.slow
@pytest.mark.parametrize("service", [ScriptedService, MosquittoService])
def test_every_byte_is_reported_once_while_nothing_goes_wrong(new_scene: Callable[..., Scene], service) -> None:
    scene = new_scene(service=service)
    scene.begin()
    scene.traffic(10_000)
    scene.wait_for_accepted(10)
    scene.traffic(5_000)
    scene.settle()
    assert "22,500 = 22,500 bytes" == scene.assert_accounted()
