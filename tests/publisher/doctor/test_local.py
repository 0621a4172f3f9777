"""What the doctor tells of a device without the network, and the one thing to do for each failure."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from defender_daemon.ladder import Doubted, Failed
from defender_publisher.doctor import local
from defender_publisher.doctor.case import Case
from defender_publisher.doctor.examination import RUNGS
from demo.authority import Authority

WriteConfig = Callable[..., Path]
MakeCase = Callable[..., Case]


@pytest.fixture
def make_case(write_config: WriteConfig) -> MakeCase:
    """Make the case of a device whose configuration and name are known; keywords change its authentication."""

    def make_case(agent: dict[str, object] | None = None, clock: float | None = None, **authentication: object) -> Case:
        path = write_config(8883)
        config = json.loads(path.read_text())
        config["agent"]["authentication"].update(authentication)
        config["agent"].update(agent or {})
        path.write_text(json.dumps(config))
        case = Case(path, {}, clock=time.time if clock is None else lambda: clock)
        local.read_configuration(case)
        local.find_thing_name(case)
        return case

    return make_case


def failure(rung: Callable[[Case], str], case: Case) -> tuple[str, str]:
    with pytest.raises(Failed) as raised:
        rung(case)
    return tuple(raised.value.problem)


def test_every_problem_of_a_configuration_has_a_line(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"agent": {"debugg": true, "format": "xml"}}')
    says, advice = failure(local.read_configuration, Case(path, {}))
    first, second = says.splitlines()
    assert first.startswith(f"{path}: agent.debugg is not a known key")
    assert second.startswith(f"{path}: agent.format must be one of")
    assert f"correct {path}" == advice


def test_a_configuration_that_is_not_there_or_another_users_has_its_own_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.json"
    assert f"write {path}, or name another file" == failure(local.read_configuration, Case(path, {}))[1]

    def refuse(*_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert "sudo" in failure(local.read_configuration, Case(path, {}))[1]


def test_a_dry_run_in_the_configuration_is_why_nothing_arrives(write_config: WriteConfig) -> None:
    says, advice = failure(local.read_configuration, Case(write_config(1, dry_run=True), {}))
    assert "agent.dry_run is true" in says
    assert advice.startswith("remove it from ")


def test_a_missing_name_and_another_client_id_are_said(write_config: WriteConfig, make_case: MakeCase) -> None:
    case = Case(write_config(1, thing_name=None), {})
    local.read_configuration(case)
    says, advice = failure(local.find_thing_name, case)
    assert "agent.thing_name is missing" in says
    assert "give agent.thing_name" in advice
    other = make_case({"client_id": "gateway"})
    assert "rpi-0001, reported for by the client ID gateway" == local.find_thing_name(other)


def test_good_files_hold_and_say_so(make_case: MakeCase) -> None:
    case = make_case()
    assert local.find_files(case).endswith("rpi-0001.key")
    assert "the key is the certificate's" == local.match_key(case)
    assert "the certificate has the thing's name" == local.check_owner(case)
    assert local.check_dates(case).endswith(" days more, until 2049-12-31 23:59 UTC")


def test_a_key_that_others_can_read_fails_with_the_line_to_run(make_case: MakeCase, tmp_path: Path) -> None:
    key = tmp_path / "open.key"
    key.write_bytes(Path(str(make_case().authentication.private_key)).read_bytes())
    key.chmod(0o644)
    says, advice = failure(local.find_files, make_case(private_key=str(key)))
    assert says.endswith("has mode 0644")
    assert f"run: chmod 600 {key}" == advice


def test_every_file_that_is_missing_is_named(make_case: MakeCase, tmp_path: Path) -> None:
    says, advice = failure(local.find_files, make_case(certificate=f"{tmp_path}/a", private_key=f"{tmp_path}/b"))
    assert [f"{tmp_path}/a: No such file or directory", f"{tmp_path}/b: No such file or directory"] == [
        line.partition("readable file: ")[2] for line in says.splitlines()
    ]
    assert "put it there, or correct the path" == advice


def test_a_key_of_another_certificate_fails(make_case: MakeCase, authority: Authority) -> None:
    case = make_case(private_key=str(authority.issue("another").private_key))
    assert "does not belong to" in failure(local.match_key, case)[0]


def test_an_expired_certificate_and_one_of_tomorrow_fail(make_case: MakeCase, authority: Authority) -> None:
    expired, early = authority.issue_expired("expired"), authority.issue_not_yet_valid("early")
    case = make_case(certificate=str(expired.certificate), private_key=str(expired.private_key))
    assert "replace it and its key with new ones" == failure(local.check_dates, case)[1]
    case = make_case(certificate=str(early.certificate), private_key=str(early.private_key))
    says, advice = failure(local.check_dates, case)
    assert "but this device's clock says" in says
    assert advice.startswith("check the clock")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gateway", "the certificate has the client ID's name, gateway"),
        ("AWS IoT Certificate", "unknown (the certificate names no thing)"),
        ("fleet-7", "unknown (the certificate's name is 'fleet-7', the thing's is 'rpi-0001')"),
    ],
)
def test_no_name_on_a_certificate_is_wrong(make_case: MakeCase, authority: Authority, name: str, expected: str) -> None:
    certificate = authority.issue(name).certificate
    at_aws = {"endpoint": "a1-ats.iot.eu-west-1.amazonaws.com", "certificate": str(certificate)}
    assert expected == local.check_owner(make_case({"client_id": "gateway"}, **at_aws))


def test_a_name_that_is_not_the_things_may_be_what_a_broker_of_ones_own_goes_by(
    make_case: MakeCase, authority: Authority
) -> None:
    certificate = str(authority.issue("AWS IoT Certificate").certificate)
    says = local.check_owner(make_case(certificate=certificate))
    assert "the certificate's name is 'AWS IoT Certificate', the thing's is 'rpi-0001'" in says
    assert "many brokers use the first" in says


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a1b2c3-ats.iot.eu-west-1.amazonaws.com", "a1b2c3-ats.iot.eu-west-1.amazonaws.com"),
        ("a1b2c3.ats.iot.cn-north-1.amazonaws.com.cn", "a1b2c3.ats.iot.cn-north-1.amazonaws.com.cn"),
        ("a1b2c3-ats.iot.cn-north-1.amazonaws.com.cn", "a1b2c3-ats.iot.cn-north-1.amazonaws.com.cn"),
        ("data.iot-fips.us-gov-west-1.amazonaws.com", "data.iot-fips.us-gov-west-1.amazonaws.com"),
        ("broker.example.com", "broker.example.com, a broker of your own"),
        ("a1b2c3.iot.eu-west-1.amazonaws.com", None),
        ("a1b2c3.credentials.iot.eu-west-1.amazonaws.com", None),
        ("iot.eu-west-1.amazonaws.com", None),
    ],
)
def test_at_aws_only_the_data_endpoint_holds(make_case: MakeCase, host: str, expected: str | None) -> None:
    case = make_case(endpoint=host, port=8883)
    if expected is None:
        with pytest.raises(Doubted) as raised:  # which an accepted report overrules
            local.check_endpoint(case)
        assert "aws iot describe-endpoint --endpoint-type iot:Data-ATS" in raised.value.problem.advice
    else:
        assert expected == local.check_endpoint(case)


def test_with_websocket_aws_credentials_stand_for_the_certificate(
    make_case: MakeCase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    case = make_case(
        method="websocket", endpoint="a1-ats.iot.eu-west-1.amazonaws.com", port=443, certificate=None, private_key=None
    )
    says, advice = failure(local.find_files, case)
    assert "no AWS credentials were found" == says
    assert advice.startswith("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[default]\naws_access_key_id = A\naws_secret_access_key = B\n")
    assert "no certificate is needed with websocket; AWS credentials are in ~/.aws/credentials" == local.find_files(
        case
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "B")
    assert local.find_files(case).endswith("in the environment")
    names = {rung.name for rung in RUNGS if rung.attempt in (local.match_key, local.check_dates, local.check_owner)}
    assert dict.fromkeys(names, "not needed with websocket") == case.unneeded
