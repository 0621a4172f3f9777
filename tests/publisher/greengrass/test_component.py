"""The publisher as a Greengrass component: configured by the nucleus, reporting through it, and ending only to live."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from defender_publisher.greengrass.session import largest_report
from tests.fakes.nucleus import JAVA_LIMIT, LITE_LIMIT, TOKEN, Nucleus
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
PUBLISHER = ROOT / "amazon-defender-publisher"
PATIENCE = 60.0  # seconds
SOON = {"agent": {"publish_interval": 2, "allow_short_interval": True}}
TOPIC = "$aws/things/core-1/defender/metrics/json"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def nucleus(tmp_path: Path) -> Iterator[Nucleus]:
    nucleus = Nucleus(tmp_path / "ipc.socket")
    nucleus.configuration.update(SOON)
    yield nucleus
    nucleus.stop()


@pytest.fixture
def environment(nucleus: Nucleus, tmp_path: Path) -> dict[str, str]:
    """What the nucleus puts into a component's environment."""
    return {
        **os.environ,
        "AWS_IOT_THING_NAME": "core-1",
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": nucleus.path,
        "SVCUID": TOKEN,
        "STATE_DIRECTORY": str(tmp_path / "state"),
    }


@pytest.fixture
def component(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run the publisher as a component, once."""

    def run(*arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(PUBLISHER), "--greengrass", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env={**environment, **changed}, cwd=tmp_path, timeout=PATIENCE
        )

    return run


@pytest.fixture
def daemon(environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The publisher as a component."""
    command = [sys.executable, str(PUBLISHER), "--greengrass"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as process:
        yield process
        process.kill()


def test_it_reports_as_the_core_by_the_nucleuss_connection(nucleus: Nucleus, component: Run) -> None:
    done = component("--once")
    assert 0 == done.returncode, done.stderr
    assert "accepted after" in done.stdout
    assert "connected to the Greengrass nucleus as core-1" in done.stderr
    ((topic, payload),) = nucleus.published
    assert TOPIC == topic
    assert "hed" in json.loads(payload), "short names, because nucleus lite takes little"


def test_the_configuration_can_be_checked_and_says_what_has_no_effect(nucleus: Nucleus, component: Run) -> None:
    nucleus.configuration["ProcDestinationPath-ResourceId"] = "my-proc"
    done = component("--check-config")
    assert 0 == done.returncode, done.stderr
    assert "thing name = core-1" in done.stdout
    assert "agent.publish_interval = 2" in done.stdout


def test_the_doctor_and_the_status_work_inside_a_component(
    nucleus: Nucleus, component: Run, daemon: subprocess.Popen[str]
) -> None:
    assert wait_until(lambda: len(nucleus.published) >= 2, PATIENCE)
    done = component("--doctor")
    assert 0 == done.returncode, done.stdout
    assert re.search("^OK +report +", done.stdout, re.MULTILINE)
    done = component("--status")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "connection     to the Greengrass nucleus for" in done.stdout


def test_a_change_of_the_configuration_is_applied_without_a_restart(
    nucleus: Nucleus, daemon: subprocess.Popen[str]
) -> None:
    assert wait_until(lambda: len(nucleus.published) >= 1, PATIENCE)
    assert wait_until(lambda: any(None in each.subscriptions.values() for each in nucleus.connections), PATIENCE)
    nucleus.change_configuration(agent={**SOON["agent"], "short_names": False})
    assert wait_until(lambda: b'"header"' in nucleus.published[-1][1], PATIENCE)
    assert None is daemon.poll()


def test_a_nucleus_that_is_offline_ends_nothing_and_no_byte_is_lost(
    nucleus: Nucleus, daemon: subprocess.Popen[str]
) -> None:
    assert wait_until(lambda: len(nucleus.published) >= 1, PATIENCE)
    nucleus.online = False
    nucleus.hang_up()
    calls = len(nucleus.calls)
    assert wait_until(lambda: len(nucleus.calls) >= calls + 5, PATIENCE)
    nucleus.online = True
    before = len(nucleus.published)
    assert wait_until(lambda: len(nucleus.published) > before, PATIENCE)
    assert None is daemon.poll()


def test_a_token_that_a_restarted_nucleus_does_not_know_ends_it_with_75(
    nucleus: Nucleus, daemon: subprocess.Popen[str]
) -> None:
    assert wait_until(lambda: len(nucleus.published) >= 1, PATIENCE)
    nucleus.tokens = {"of the next start"}
    nucleus.hang_up()
    said = daemon.communicate(timeout=PATIENCE * 2)[1]
    assert 75 == daemon.returncode, said
    assert "no longer knows this component's token" in said


def test_sigterm_ends_it_in_order(nucleus: Nucleus, daemon: subprocess.Popen[str]) -> None:
    assert wait_until(lambda: len(nucleus.published) >= 1, PATIENCE)
    daemon.send_signal(signal.SIGTERM)
    daemon.communicate(timeout=PATIENCE)
    assert 0 == daemon.returncode


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


@pytest.mark.parametrize("operation", ["SubscribeToIoTCore", "PublishToIoTCore"])
def test_an_operation_that_access_control_lacks_is_named(nucleus: Nucleus, component: Run, operation: str) -> None:
    nucleus.operations.discard(operation)
    done = component("--once")
    assert 1 == done.returncode
    assert f"the nucleus does not allow this component aws.greengrass#{operation} on $aws/things/core-1" in done.stderr


def test_a_wrong_parameter_is_one_sentence(nucleus: Nucleus, component: Run) -> None:
    nucleus.configuration["SampleIntervalSeconds"] = "600s"
    done = component("--check-config")
    assert 78 == done.returncode
    assert 'SampleIntervalSeconds must be a whole number of seconds from 300 to 86400, got "600s"' in done.stderr


def test_neither_the_sdk_nor_the_crt_is_imported_in_a_component(environment: dict[str, str], nucleus: Nucleus) -> None:
    code = (
        "import sys; from defender_publisher.__main__ import main; main(['--greengrass', '--once']);"
        "print(sorted({'AWSIoTPythonSDK', 'awscrt', 'awsiot', 'boto3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert "[]" == done.stdout.splitlines()[-1], done.stderr


def test_nothing_of_greengrass_is_imported_without_it() -> None:
    code = (
        "import sys; from defender_publisher.__main__ import main; main(['--dry-run']);"
        "print([name for name in sys.modules if 'greengrass' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "[]" == done.stdout.splitlines()[-1], done.stderr


@pytest.mark.parametrize("limit", [LITE_LIMIT, JAVA_LIMIT])
def test_the_largest_report_that_lite_takes_is_taken_and_one_byte_more_is_not(tmp_path: Path, limit: int) -> None:
    from defender_publisher.greengrass import ipc

    nucleus = Nucleus(tmp_path / "ipc.socket", limit=limit, verdict=lambda topic, payload: None)
    client = ipc.Client(nucleus.path, TOKEN)
    ipc.publish_to_iot_core(client, TOPIC, bytes(largest_report(TOPIC)))
    if limit == LITE_LIMIT:
        with pytest.raises((ipc.Closed, OSError)):
            ipc.publish_to_iot_core(client, TOPIC, bytes(largest_report(TOPIC) + 4))
    nucleus.stop()
