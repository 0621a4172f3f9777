"""The publisher as a Greengrass component: configured by the nucleus, reporting through it, and ending only to live."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

from defender_publisher.errors import HungError
from defender_publisher.greengrass import component as component_module
from defender_publisher.greengrass.component import wait_for_configuration
from defender_publisher.greengrass.session import SOCKET
from tests.conftest import ROOT
from tests.fakes.nucleus import TOKEN, Nucleus
from tests.publisher.conftest import EVERY_SECOND, Run
from tests.waiting import PATIENCE, outcome, until_well, wait_until

TOPIC = "$aws/things/core-1/defender/metrics/json"


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
    assert "agent.publish_interval = 1" in done.stdout
    assert "ProcDestinationPath-ResourceId has no effect here: a Greengrass V2 component sees" in done.stderr


def test_a_start_says_what_has_no_effect_and_asks_once_which_nucleus_it_is(
    nucleus: Nucleus, daemon: subprocess.Popen[str]
) -> None:
    nucleus.configuration["PublishRetryCount"] = 5
    assert wait_until(lambda: len(nucleus.published) >= 1, PATIENCE)
    nucleus.hang_up()
    before = len(nucleus.published)
    assert wait_until(lambda: len(nucleus.published) > before, PATIENCE)
    daemon.terminate()
    said = daemon.communicate(timeout=PATIENCE)[1]
    assert 1 == said.count("PublishRetryCount has no effect here: reports are retried"), said
    asked = [content for operation, content in nucleus.calls if content.get("componentName")]
    assert [{"keyPath": ["awsRegion"], "componentName": "aws.greengrass.NucleusLite"}] == asked


def test_a_start_waits_for_a_nucleus_that_is_not_there(
    nucleus: Nucleus, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three ends an hour end a component for good, so a nucleus that starts after it is no reason for one."""
    absent = tmp_path / "later.socket"
    set_environment(monkeypatch, {**environment, SOCKET: str(absent)})
    monkeypatch.setattr(component_module, "PATIENCE", 0.01)
    Timer(0.2, lambda: absent.symlink_to(nucleus.path)).start()
    assert tmp_path / "component.json" == outcome(lambda: wait_for_configuration(tmp_path))


@pytest.mark.parametrize("refusals", [1, 2])
def test_a_start_ends_for_a_token_that_was_refused_twice_and_not_for_one_refusal(
    nucleus: Nucleus,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refusals: int,
) -> None:
    nucleus.tokens = {"of the next start"}

    def sleep(seconds: float) -> None:
        assert seconds <= 30, "two refusals are within a minute"
        if refusals == 1:
            nucleus.tokens = {TOKEN}

    set_environment(monkeypatch, environment)
    monkeypatch.setattr(component_module.time, "sleep", sleep)
    if refusals == 1:
        assert wait_for_configuration(tmp_path).exists()
    else:
        with pytest.raises(HungError, match="no longer knows this component's token, which only a new start brings"):
            wait_for_configuration(tmp_path)
    assert ["asking again in 30 s"] == [record.getMessage().rpartition("; ")[2] for record in caplog.records]


def set_environment(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_the_doctor_and_the_status_work_inside_a_component(
    nucleus: Nucleus, component: Run, daemon: subprocess.Popen[str]
) -> None:
    assert wait_until(lambda: len(nucleus.published) >= 2, PATIENCE)
    done = until_well(lambda: component("--doctor"))
    assert 0 == done.returncode, done.stdout
    assert re.search("^OK +report +", done.stdout, re.MULTILINE)
    done = until_well(lambda: component("--status"))
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "connection     to the Greengrass nucleus for" in done.stdout


def test_a_change_of_the_configuration_is_applied_without_a_restart(
    nucleus: Nucleus, daemon: subprocess.Popen[str]
) -> None:
    assert wait_until(lambda: len(nucleus.published) >= 1, PATIENCE)
    assert wait_until(lambda: any(None in each.subscriptions.values() for each in nucleus.connections), PATIENCE)
    nucleus.change_configuration(agent={**EVERY_SECOND["agent"], "short_names": False})
    assert wait_until(lambda: b'"header"' in nucleus.published[-1][1], PATIENCE)
    assert None is daemon.poll()


def test_sigterm_ends_it_in_order(nucleus: Nucleus, daemon: subprocess.Popen[str]) -> None:
    assert wait_until(lambda: len(nucleus.published) >= 1, PATIENCE)
    daemon.send_signal(signal.SIGTERM)
    daemon.communicate(timeout=PATIENCE)
    assert 0 == daemon.returncode


def test_a_wrong_parameter_is_one_sentence(nucleus: Nucleus, component: Run) -> None:
    nucleus.configuration["SampleIntervalSeconds"] = "600s"
    done = component("--check-config")
    assert 78 == done.returncode
    assert 'SampleIntervalSeconds must be a whole number of seconds from 300 to 86400, got "600s"' in done.stderr


def test_neither_the_sdk_nor_the_crt_is_imported_in_a_component(environment: dict[str, str], nucleus: Nucleus) -> None:
    code = (
        "import sys; from defender_publisher import questions; questions.FIRST_GROWTH = 0.05;"
        "from defender_publisher.__main__ import main; main(['--greengrass', '--once']);"
        "print(sorted({'AWSIoTPythonSDK', 'awscrt', 'awsiot', 'boto3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert "[]" == done.stdout.splitlines()[-1], done.stderr


def test_nothing_of_greengrass_is_imported_without_it() -> None:
    code = (
        "import sys; from defender_publisher import questions; questions.FIRST_GROWTH = 0.05;"
        "from defender_publisher.__main__ import main; main(['--dry-run']);"
        "print([name for name in sys.modules if 'greengrass' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "[]" == done.stdout.splitlines()[-1], done.stderr
