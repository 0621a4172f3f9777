"""`import` reads an AWS account's security profiles and whom they are for into files that Detect takes as they are."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("boto3")

import boto3
from botocore.stub import Stubber

from defender_detect.account import carry_out, explain, file_name, import_account
from defender_detect.arguments import read_arguments
from defender_detect.attachments import read_rules
from defender_detect.config_file import read_config
from defender_detect.errors import DetectError

ARN = "arn:aws:iot:eu-west-1:123456789012"
WHEN = datetime(2026, 5, 4, 3, 2, 1, tzinfo=timezone.utc)
PORTS: dict[str, Any] = {
    "securityProfileName": "ports",
    "securityProfileArn": f"{ARN}:securityprofile/ports",
    "behaviors": [
        {
            "name": "ssh",
            "metric": "aws:listening-tcp-ports",
            "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22]}},
        },
        {
            "name": "few-failures",
            "metric": "aws:num-authorization-failures",
            "criteria": {"comparisonOperator": "less-than", "value": {"count": 5}, "durationSeconds": 300},
        },
    ],
    "version": 3,
    "creationDate": WHEN,
    "lastModifiedDate": WHEN,
}
GROUP = f"{ARN}:thinggroup/gateways"


class Account:
    """A client whose answers are those that AWS's model allows, in the order of the calls."""

    def __init__(self) -> None:
        self.client = boto3.client(
            "iot",
            region_name="eu-west-1",
            aws_access_key_id="A",
            aws_secret_access_key="S",  # noqa: S106
        )
        self._stub = Stubber(self.client)
        self._stub.activate()

    def answer(self, operation: str, answer: dict[str, Any], **parameters: Any) -> None:
        self._stub.add_response(operation, answer, parameters)


def listed(*names: str) -> dict[str, Any]:
    return {"securityProfileIdentifiers": [{"name": each, "arn": f"{ARN}:securityprofile/{each}"} for each in names]}


def targets(*arns: str) -> dict[str, Any]:
    return {"securityProfileTargets": [{"arn": each} for each in arns]}


def fill(account: Account, *arns: str) -> None:
    """Let the account have one profile for these targets, a group of two pages, a custom metric and a dimension."""
    account.answer("list_security_profiles", listed("ports"))
    account.answer("describe_security_profile", PORTS, securityProfileName="ports")
    account.answer("list_targets_for_security_profile", targets(*arns), securityProfileName="ports")
    if GROUP in arns:
        asked = {"thingGroupName": "gateways", "recursive": True}
        account.answer("list_things_in_thing_group", {"things": ["gw-2"], "nextToken": "n"}, **asked)
        account.answer("list_things_in_thing_group", {"things": ["gw-1"]}, **asked, nextToken="n")  # noqa: S106
    account.answer("list_custom_metrics", {"metricNames": ["cpu_usage"]})
    metric = {"metricName": "cpu_usage", "metricType": "number", "creationDate": WHEN}
    account.answer("describe_custom_metric", metric, metricName="cpu_usage")
    account.answer("list_dimensions", {"dimensionNames": []})


def test_an_account_becomes_files_that_detect_loads(tmp_path: Path) -> None:
    account = Account()
    fill(account, GROUP, f"{ARN}:all/unregistered-things")
    lines = list(import_account(account.client, tmp_path))
    assert {"gateways": ["gw-1", "gw-2"]} == json.loads((tmp_path / "thing-groups.json").read_text())
    assert "2026-05-04T03:02:01+00:00" == json.loads((tmp_path / "profiles/ports.json").read_text())["creationDate"]
    assert "cpu_usage" == json.loads((tmp_path / "custom-metrics.json").read_text())[0]["metricName"]
    rules = read_rules(read_config(tmp_path / "detect.json", {}))
    assert ["ports/ssh"] == list(rules.of("gw-1").names)
    assert [] == list(rules.of("somebody").names)
    assert f"1 security profile in {tmp_path / 'profiles'}" == lines[0]
    (note,) = [line for line in lines if line.startswith("ports: ")]
    assert "which only AWS IoT measures" in note
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("target", ["things", "registered-things"])
def test_a_profile_for_all_things_is_for_all(target: str, tmp_path: Path) -> None:
    account = Account()
    fill(account, f"{ARN}:all/{target}")
    list(import_account(account.client, tmp_path))
    assert ["ports/ssh"] == list(read_rules(read_config(tmp_path / "detect.json", {})).of("anybody").names)


def test_a_profile_for_nobody_is_kept_and_said(tmp_path: Path) -> None:
    account = Account()
    fill(account)
    lines = list(import_account(account.client, tmp_path))
    assert "ports is attached to nothing, so that it is in no configuration" in lines
    assert {"profiles": [], "thing_groups": "thing-groups.json"} == json.loads((tmp_path / "detect.json").read_text())[
        "detect"
    ]


def test_profiles_whose_names_differ_in_case_only_are_files_of_their_own() -> None:
    taken: set[str] = set()
    for name in ("Home:1", "home-1", "HOME-1"):
        taken.add(f"profiles/{file_name(name, taken)}")
    assert {"profiles/Home-1.json", "profiles/home-1-2.json", "profiles/HOME-1-3.json"} == taken


def test_a_directory_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(DetectError, match="must be empty or new"):
        list(carry_out(vars(read_arguments(["import", str(tmp_path)]))))
    assert ["mine.json"] == [each.name for each in tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "give --region, or set AWS_REGION"),
        (["--profile", "nobody"], "see `aws configure list-profiles`"),
        (["--region", "eu-west-1"], "give --profile, or run `aws configure`"),
    ],
)
def test_what_boto3_lacks_is_said_with_what_to_do(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, path in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        monkeypatch.setenv(name, str(tmp_path / path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(DetectError, match=sentence):
        list(carry_out(vars(read_arguments(["import", str(tmp_path / "new"), *arguments]))))


def test_without_boto3_the_command_for_this_python_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(DetectError) as refused:
        list(carry_out(vars(read_arguments(["import", str(tmp_path)]))))
    wanted = f"importing from AWS needs boto3: {shlex.quote(sys.executable)} -m pip install boto3"
    assert wanted == str(refused.value)


def test_what_the_credentials_may_not_is_said() -> None:
    account = Account()
    account._stub.add_client_error("list_security_profiles", "AccessDeniedException", "User is not authorized.", 403)
    with pytest.raises(Exception, match="AccessDenied") as refused:
        list(import_account(account.client, Path("unused")))
    assert explain(refused.value).endswith("; the credentials need iot:List* and iot:Describe*")
