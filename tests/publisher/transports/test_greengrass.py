"""The way through the nucleus, where there is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import PUBLISHER
from tests.publisher.conftest import Run


@pytest.mark.parametrize(
    ("changed", "status", "expected"),
    [
        ({"SVCUID": ""}, 78, "--greengrass is for a Greengrass component, which this is not: SVCUID is not set"),
        ({"AWS_IOT_THING_NAME": ""}, 78, "this core has no thing name (AWS_IOT_THING_NAME is empty): provision it"),
        (
            {"SVCUID": "of another life"},
            1,
            "the nucleus cannot be asked for the configuration at .*: the nucleus hung",
        ),
    ],
)
def test_outside_a_component_it_says_so(component: Run, changed: dict[str, str], status: int, expected: str) -> None:
    done = component("--once", **changed)
    assert status == done.returncode
    assert re.match(expected.replace("(", r"\(").replace(")", r"\)"), done.stderr), done.stderr


def test_no_socket_is_said(component: Run, tmp_path: Path) -> None:
    for place, reason in ((tmp_path / "nothing", "No such file or directory"), (PUBLISHER, "Connection refused")):
        done = component("--once", AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT=str(place))
        assert 1 == done.returncode
        assert f"the nucleus cannot be asked for the configuration at {place}: {reason}" in done.stderr
