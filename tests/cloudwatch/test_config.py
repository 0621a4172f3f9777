"""The configuration is the publisher's file; what cannot be used is said in a sentence each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from defender_cloudwatch import probe
from defender_cloudwatch.config import Settings, read_settings
from defender_daemon.errors import ConfigError

REGION = {"AWS_REGION": "eu-west-1"}


def written(directory: Path, **sections: Any) -> Path:
    path = directory / "config.json"
    agent = {"thing_name": "rpi-0001", "state_directory": str(directory), **sections.pop("agent", {})}
    path.write_text(json.dumps({"agent": agent, **sections}))
    return path


def settings(directory: Path, **sections: Any) -> Settings:
    return read_settings(written(directory, **sections), REGION)


def problems(directory: Path, **sections: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings(directory, **sections)
    return [each.partition(".json: ")[2] for each in caught.value.problems]


def test_the_cloudwatch_publishers_configuration_loads_as_it_is(tmp_path: Path) -> None:
    """As its README describes it, but for `authentication`."""
    found = settings(
        tmp_path,
        agent={
            "instance": {"prefix": "rpi", "serial": "0002"},
            "thing_name": None,
            "region": "us-west-2",
            "metrics_collection_interval": 60,
            "logs_collection_interval": 5,
            "logfile": "/opt/aws/amazon-cloudwatch-publisher/logs/amazon-cloudwatch-publisher.log",
            "debug": False,
        },
        metrics={"namespace": "System/RaspberryPi"},
        logs={
            "logs_collected": {"files": {"collect_list": [{"file_path": "/var/log/auth.log"}]}, "journal": True},
            "log_group_name": "/system/rpi/{instance_id}",
        },
    )
    assert ("rpi-0002", "us-west-2", 60, 5) == (
        found.thing_name,
        found.region,
        found.metrics_interval,
        found.logs_interval,
    )
    assert ["/system/rpi/rpi-0002"] == [each.group for each in found.files]
    assert found.journal is not None
    assert "/system/rpi/rpi-0002" == found.journal.group


def test_cognito_keys_say_what_to_write_instead_and_show_no_password(tmp_path: Path) -> None:
    cognito = {"accountId": "1", "userPoolId": "2", "identityPoolId": "3", "appClientId": "4", "password": "s3cret"}
    found = problems(tmp_path, agent={"authentication": cognito})
    assert 1 == len(found)
    assert "certificate, private_key, and credentials with endpoint and role_alias" in found[0]
    assert "s3cret" not in found[0]


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({}, "there is nothing to send to CloudWatch: give metrics.namespace"),
        ({"metrics": {"namespace": "AWS/X"}}, 'and not begin with AWS/, got "AWS/X"'),
        ({"metrics": {"namespace": ""}}, "metrics.namespace must be 1 to 255 of the characters"),
        ({"metrics": {"namespace": "x" * 300}}, "metrics.namespace must be 1 to 255"),
        ({"metrics": {"namespace": "a\n"}}, "metrics.namespace must be 1 to 255"),
        ({"metrics": {"namespace": "X", "dimensions": ["InstanceId", "InstanceId"]}}, "must name each dimension once"),
        ({"metrics": {"namespace": "X", "dimensions": ["Host"]}}, "metrics.dimensions[0] must be one of"),
        ({"agent": {"logs_collection_interval": 0}}, "agent.logs_collection_interval must be a whole number from 1"),
        ({"agent": {"logs_collection_interval": 0.5}}, "agent.logs_collection_interval must be a whole number from 1"),
        (
            {"agent": {"logs_collection_interval": 10**9}},
            "agent.logs_collection_interval must be a whole number from 1",
        ),
        ({"metrics": {"namespace": "X"}, "agent": {"region": "Ireland"}}, "agent.region must be a region such as"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(
    tmp_path: Path, sections: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "LONGEST", 0.1)
    found = problems(tmp_path, **sections)
    assert 1 == len(found), found
    assert says in found[0]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"endpoint": "https://c1.credentials.iot.eu-west-1.amazonaws.com"}, "credentials.endpoint must be a host"),
        ({"endpoint": "a1-ats.iot.eu-west-1.amazonaws.com"}, "`aws iot describe-endpoint --endpoint-type iot:Cred"),
        ({"role_alias": "a b"}, "credentials.role_alias must be 1 to 128"),
        ({"role_alias": ""}, "credentials.role_alias must be 1 to 128"),
    ],
)
def test_a_provider_that_cannot_be_used_is_said(tmp_path: Path, given: dict[str, str], says: str) -> None:
    (tmp_path / "a.pem").touch()
    credentials = {"endpoint": "c1.credentials.iot.eu-west-1.amazonaws.com", "role_alias": "alias", **given}
    authentication = {"credentials": credentials, "certificate": "a.pem", "private_key": "a.pem"}
    found = problems(tmp_path, agent={"authentication": authentication}, metrics={"namespace": "X"})
    assert 1 == len(found), found
    assert says in found[0]


def test_the_certificate_is_needed_and_the_region_is_the_endpoints(tmp_path: Path) -> None:
    credentials = {"endpoint": "c1.credentials.iot.ap-south-1.amazonaws.com", "role_alias": "alias"}
    authentication = {"credentials": credentials, "private_key": "missing.key"}
    found = problems(tmp_path, agent={"authentication": authentication}, metrics={"namespace": "X"})
    assert [
        "agent.authentication.certificate is missing; agent.authentication.credentials needs it",
        f"agent.authentication.private_key must be a file that can be read, but {tmp_path}/missing.key is not there",
    ] == found
    for name in ("a.pem", "a.key"):
        (tmp_path / name).touch()
    given = {"credentials": credentials, "certificate": "a.pem", "private_key": "a.key"}
    assert "ap-south-1" == settings(tmp_path, agent={"authentication": given}, metrics={"namespace": "X"}).region


def test_without_a_region_nothing_can_be_sent(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"agent.region is missing"):
        read_settings(written(tmp_path, metrics={"namespace": "X"}), {})


def test_a_key_that_systemd_hands_over_takes_the_place_of_the_one_that_only_root_can_read(tmp_path: Path) -> None:
    handed = tmp_path / "credentials" / "private.key"
    handed.parent.mkdir()
    for each in (handed, tmp_path / "certificate.pem"):
        each.write_text("")
    agent = {
        "authentication": {
            "certificate": "certificate.pem",
            "private_key": "of-root.key",
            "credentials": {"endpoint": "c1.credentials.iot.eu-west-1.amazonaws.com", "role_alias": "a"},
        }
    }
    path = written(tmp_path, agent=agent, metrics={"namespace": "X"})
    assert str(handed) == read_settings(path, REGION, str(handed)).agent.authentication.private_key
    with pytest.raises(ConfigError, match=r"of-root.key is not there"):
        read_settings(path, REGION)
