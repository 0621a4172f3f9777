"""The way through the nucleus, where there is one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from defender_publisher.errors import TransportError
from defender_publisher.greengrass import ipc
from defender_publisher.greengrass.component import fetch_configuration
from defender_publisher.greengrass.session import SOCKET
from tests.conftest import PUBLISHER, ROOT
from tests.fakes.nucleus import Nucleus
from tests.publisher.conftest import Run


@pytest.mark.parametrize(
    ("changed", "status", "expected"),
    [
        ({"SVCUID": ""}, 78, "--greengrass is for a Greengrass component, which this is not: SVCUID is not set"),
        ({"AWS_IOT_THING_NAME": ""}, 78, "this core has no thing name (AWS_IOT_THING_NAME is empty): provision it"),
        (
            {"AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": ""},
            78,
            "--greengrass is for a Greengrass component, which this is not: AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH",
        ),
        (
            {"SVCUID": "of another life"},
            1,
            "the nucleus cannot be asked for the configuration at .*: the nucleus hung up when it was told the "
            "component's token; it may have been restarted: restart the component",
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
        says = f"the nucleus cannot be asked for the configuration at {place}: {reason}; start the nucleus\n"
        assert says == done.stderr


def test_a_socket_that_this_user_may_not_use_is_said(
    nucleus: Nucleus, environment: dict[str, str], unprivileged: int
) -> None:
    os.chmod(nucleus.path, 0o600)
    command = ["setpriv", f"--reuid={unprivileged}", f"--regid={unprivileged}", "--clear-groups", sys.executable]
    code = "import sys; from defender_publisher.__main__ import main; sys.exit(main(['--greengrass', '--once']))"
    with tempfile.TemporaryDirectory() as reachable:  # which pytest's own directory is not for another user
        os.chmod(reachable, 0o755)
        place = os.path.join(reachable, "ipc.socket")
        os.rename(nucleus.path, place)
        changed = {**environment, SOCKET: place, "STATE_DIRECTORY": f"{reachable}/state"}
        done = subprocess.run([*command, "-c", code], capture_output=True, text=True, env=changed, cwd=ROOT)
    says = (
        f"the nucleus cannot be asked for the configuration at {place}: Permission denied; run this as the user that "
    )
    assert (1, says) == (done.returncode, done.stderr[: len(says)]), done.stderr


def test_a_connect_that_is_refused_in_words_is_said(nucleus: Nucleus, component: Run) -> None:
    nucleus.says_no = True
    done = component("--once", SVCUID="of another life")
    assert 1 == done.returncode
    assert "the nucleus did not accept the component's token; it may have been restarted: restart the" in done.stderr


def test_access_to_other_topics_only_is_said(nucleus: Nucleus, component: Run) -> None:
    nucleus.resource = "my/topics/"
    done = component("--once")
    assert 1 == done.returncode
    says = "does not allow this component aws.greengrass#SubscribeToIoTCore on $aws/things/core-1/defender/metrics/json"
    assert says in done.stderr
    assert "add the operation and $aws/things/+/defender/metrics/# to the component's accessControl" in done.stderr


def test_a_nucleus_that_does_not_answer_in_time_is_said(
    nucleus: Nucleus, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    nucleus.silent, introduce = {"GetConfiguration"}, ipc.Client._introduce

    def then_hurry(self: ipc.Client, token: str) -> None:
        introduce(self, token)
        self._timeout = 0.2

    monkeypatch.setattr(ipc.Client, "_introduce", then_hurry)
    with pytest.raises(TransportError, match="TimeoutError: the nucleus did not answer GetConfiguration within 0.2 s"):
        fetch_configuration(tmp_path)
