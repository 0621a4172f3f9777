"""What the doctor says of a Greengrass nucleus that may be in the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from defender_daemon.ladder import Doubted, NotTried
from defender_publisher.doctor import local, nucleus
from defender_publisher.doctor.case import Case
from tests.daemon.test_nucleus import EFFECTIVE, enable, write

AWS = "a1b2c3-ats.iot.eu-west-1.amazonaws.com"


@pytest.fixture
def ask(tmp_path: Path, write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Ask about a device at an endpoint, on a machine that a test has written."""
    monkeypatch.setattr(nucleus, "ROOT", tmp_path / "machine")

    def ask(endpoint: str = AWS, **agent: object) -> str:
        path = write_config(8883)
        config = json.loads(path.read_text())
        config["agent"].update(agent)
        config["agent"]["authentication"]["endpoint"] = endpoint
        path.write_text(json.dumps(config))
        case = Case(path, {})
        local.read_configuration(case)
        local.find_thing_name(case)
        return nucleus.look_for_nucleus(case)

    return ask


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with a classic nucleus that is core-1."""
    write(tmp_path / "machine" / "greengrass" / "v2" / "config" / "effectiveConfig.yaml", EFFECTIVE)
    enable(tmp_path / "machine", "greengrass.service")
    return tmp_path / "machine"


def test_without_a_nucleus_there_is_nothing_to_say(ask: Callable[..., str]) -> None:
    assert "none here" == ask()


def test_another_thing_is_not_in_the_way(ask: Callable[..., str], machine: Path) -> None:
    expected = "the Greengrass nucleus (/greengrass/v2/config/effectiveConfig.yaml) is core-1, another client ID"
    assert expected == ask(thing_name="rpi-0001")
    assert expected == ask(thing_name="core-1", client_id="core-1-defender"), "which is what AWS IoT goes by"


def test_the_same_client_id_is_a_doubt_that_names_the_component(ask: Callable[..., str], machine: Path) -> None:
    with pytest.raises(Doubted) as doubted:
        ask(thing_name="core-1")
    says, advice = doubted.value.problem
    assert "uses this client ID too, core-1" in says
    assert "docs/how-to/run-on-greengrass.md" in advice


def test_the_same_name_does_no_harm_at_another_broker_or_where_the_nucleus_is_not_enabled(
    ask: Callable[..., str], machine: Path
) -> None:
    assert "at AWS IoT, which detect.home is not" in ask("detect.home", thing_name="core-1")
    (machine / "etc" / "systemd" / "system" / "multi-user.target.wants" / "greengrass.service").unlink()
    assert "has this client ID, core-1, but is not enabled" in ask(thing_name="core-1")


def test_a_name_that_cannot_be_read_is_not_judged(ask: Callable[..., str], machine: Path) -> None:
    (machine / "greengrass" / "v2" / "config" / "effectiveConfig.yaml").write_text("")
    with pytest.raises(NotTried, match="whose thing name cannot be read; it must not be rpi-0001"):
        ask(thing_name="rpi-0001")
