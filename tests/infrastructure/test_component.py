from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from infrastructure.component import configure, read_component
from infrastructure.errors import DeployError
from release.component import ARCHITECTURES, NAME, recipe


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "recipe.yaml").write_text(recipe("1.2.3"))
    for each in ARCHITECTURES:
        (tmp_path / f"{each.zip}.zip").write_bytes(each.name.encode())
    return tmp_path


def test_it_is_read_as_make_component_leaves_it(built: Path) -> None:
    component = read_component(built)
    assert (NAME, "1.2.3") == (component.name, component.version)
    expected = {
        f"{NAME}/1.2.3/{each.zip}.zip": hashlib.sha256(each.name.encode()).hexdigest() for each in ARCHITECTURES
    }
    assert expected == component.digests
    inside = component.recipe_in("own-bucket")
    assert "BUCKET_NAME" not in inside
    assert all(f's3://own-bucket/{key}"' in inside for key in expected)


@pytest.mark.parametrize("missing", ["recipe.yaml", f"{ARCHITECTURES[1].zip}.zip"])
def test_what_is_missing_is_named_with_what_to_run(built: Path, missing: str) -> None:
    (built / missing).unlink()
    with pytest.raises(DeployError, match=f"{missing}.*: build it with `make component`, then run this again"):
        read_component(built)


@pytest.mark.parametrize("text", ["", "ComponentName: x\n", recipe("1.2.3").replace("BUCKET_NAME", "other")])
def test_another_recipe_is_not_taken(built: Path, text: str) -> None:
    (built / "recipe.yaml").write_text(text)
    with pytest.raises(DeployError, match="is not a recipe of `make component`"):
        read_component(built)


def test_what_is_the_nucleuss_affair_is_left_out_of_the_configuration() -> None:
    from defender_publisher.greengrass.parameters import NOT_HERE, read_parameters

    agent = {**dict.fromkeys(NOT_HERE, "x"), "logfile": "/x", "publish_interval": 600}
    config = {"agent": agent, "metrics": {"namespace": "Lab", "tcp_connections": False}, "logs": {"x": 1}}
    found = configure(config)
    assert {"publish_interval": 600} == found["agent"]
    assert ({"tcp_connections": False}, {}) == (found["metrics"], found["custom_metrics"])
    assert {"agent", "metrics", "custom_metrics"} == set(read_parameters(found, short_names=True))
