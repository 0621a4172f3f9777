"""The credentials provider answers as AWS IoT's does, and what it gives is held to the role and to the thing."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3")

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402

from demo.authority import Authority  # noqa: E402
from tests.fakes.device import TRUST, Device, policy  # noqa: E402
from tests.fakes.emulator import Account, wait_for_stack  # noqa: E402

ALIAS = "device-cloudwatch"


@pytest.fixture
def device(account: Account, tmp_path: Path) -> Device:
    device = Device(account, tmp_path)
    device.allow_cloudwatch()
    return device


def ask(device: Device, alias: str = ALIAS, thing: str | None = "rpi-0001", files: Any = None) -> tuple[int, Any]:
    """Ask for credentials; return status and document."""
    emulator = device.account.emulator
    context = ssl.create_default_context(cafile=str(emulator.authority))
    certificate = files or (device.certificate, device.private_key)
    context.load_cert_chain(*map(str, certificate))
    host, _, port = emulator.credentials_endpoint.partition(":")
    connection = http.client.HTTPSConnection(host, int(port), timeout=60, context=context)
    headers = {} if thing is None else {"x-amzn-iot-thingname": thing}
    try:
        connection.request("GET", f"/role-aliases/{alias}/credentials", headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def client(device: Device, service: str, thing: str | None = "rpi-0001") -> Any:
    """Return a client with the credentials that a thing gets."""
    found = ask(device, thing=thing)[1]["credentials"]
    make: Any = boto3.client
    return make(
        service,
        config=Config(proxies={}, retries={"total_max_attempts": 1}),
        region_name=device.account.region,
        endpoint_url=device.account.emulator.url,
        aws_access_key_id=found["accessKeyId"],
        aws_secret_access_key=found["secretAccessKey"],
        aws_session_token=found["sessionToken"],
    )


def test_credentials_are_of_the_role_and_the_certificate(device: Device) -> None:
    arn = client(device, "sts").get_caller_identity()["Arn"]
    assert f"arn:aws:sts::{device.account.id}:assumed-role/{ALIAS}/{device.certificate_id}" == arn
    assert [200] == [each["status"] for each in device.account.credentials()]


def test_a_thing_sends_to_its_own_log_group_and_to_no_other(device: Device) -> None:
    logs, own = client(device, "logs"), device.account.client("logs")
    for name in ("/system/rpi/rpi-0001", "/system/rpi/rpi-0002"):
        own.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName="/system/rpi/rpi-0001", logStreamName="app")
    with pytest.raises(ClientError, match=r"logs:CreateLogStream on resource: \S+rpi-0002:log-stream:app"):
        logs.create_log_stream(logGroupName="/system/rpi/rpi-0002", logStreamName="app")
    with pytest.raises(ClientError, match="logs:CreateLogGroup"):
        logs.create_log_group(logGroupName="/system/rpi/rpi-0001/more")


def test_without_the_things_name_its_variable_matches_nothing(device: Device) -> None:
    device.account.client("logs").create_log_group(logGroupName="/system/rpi/rpi-0001")
    with pytest.raises(ClientError, match="not authorized to perform: logs:CreateLogStream"):
        client(device, "logs", None).create_log_stream(logGroupName="/system/rpi/rpi-0001", logStreamName="app")


def detach_the_thing(device: Device) -> None:
    device.account.client("iot").detach_thing_principal(thingName=device.name, principal=device.arn)


def detach_the_policy(device: Device) -> None:
    device.account.client("iot").detach_policy(policyName=f"{device.name}-{ALIAS}", target=device.arn)


def deactivate(device: Device) -> None:
    device.account.client("iot").update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")


def delete_the_alias(device: Device) -> None:
    device.account.client("iot").delete_role_alias(roleAlias=ALIAS)


def distrust(statement: dict[str, Any]) -> Callable[[Device], None]:
    def change(device: Device) -> None:
        iam = device.account.client("iam")
        iam.update_assume_role_policy(RoleName=ALIAS, PolicyDocument=policy(statement))

    return change


def last_for_longer(device: Device) -> None:
    device.account.client("iot").update_role_alias(roleAlias=ALIAS, credentialDurationSeconds=7200)


SOURCE = {"Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}}
ANOTHER = {"Condition": {"ArnEquals": {"aws:SourceArn": "arn:aws:iot:eu-west-1:123456789012:rolealias/other"}}}
LAMBDA = {"Principal": {"Service": "lambda.amazonaws.com"}}


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (detach_the_thing, 403, "Invalid thing name passed"),
        (detach_the_policy, 403, "Access Denied"),
        (deactivate, 403, "Certificate is invalid on this endpoint"),
        (delete_the_alias, 404, "Role alias does not exist"),
        (distrust({**TRUST, **LAMBDA}), 400, "Unable to assume the role"),
        (distrust({**TRUST, **SOURCE}), 400, "Unable to assume the role"),
        (distrust({**TRUST, **ANOTHER}), 400, "Unable to assume the role"),
        (last_for_longer, 400, "exceeds the MaxSessionDuration"),
    ],
)
def test_it_refuses_in_awss_words(device: Device, change: Callable[[Device], None], status: int, message: str) -> None:
    change(device)
    answer = ask(device)
    assert status == answer[0]
    assert message in answer[1]["message"]


def test_a_certificate_of_another_authority_gets_no_connection(device: Device, authority: Authority) -> None:
    files = authority.issue("rpi-0001")
    with pytest.raises(ssl.SSLError):
        ask(device, files=(files.certificate, files.private_key))


def test_credentials_expire_and_faults_come_on_demand(device: Device) -> None:
    account = device.account
    account.credentials_last(-1)
    with pytest.raises(ClientError, match="ExpiredToken"):
        client(device, "sts").get_caller_identity()
    account.fail("iot:AssumeRoleWithCertificate", "", "try later", 500, subject="rpi-0001", times=1)
    assert (500, {"message": "try later"}) == ask(device)
    assert 200 == ask(device)[0]


def test_a_role_alias_is_made_changed_and_deleted_by_a_stack(account: Account) -> None:
    stacks, iot = account.client("cloudformation"), account.client("iot")
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": json.loads(policy(TRUST))}}

    def template(seconds: int) -> str:
        arn = {"Fn::GetAtt": ["Role", "Arn"]}
        properties = {"RoleAlias": ALIAS, "RoleArn": arn, "CredentialDurationSeconds": seconds}
        alias = {"Type": "AWS::IoT::RoleAlias", "Properties": properties}
        return json.dumps({"Resources": {"Role": role, "Alias": alias}})

    stacks.create_stack(StackName="one", TemplateBody=template(3600), Capabilities=["CAPABILITY_IAM"])
    wait_for_stack(account, "one", "CREATE_COMPLETE")
    described = iot.describe_role_alias(roleAlias=ALIAS)["roleAliasDescription"]
    assert (3600, account.id) == (described["credentialDurationSeconds"], described["owner"])
    stacks.update_stack(StackName="one", TemplateBody=template(900), Capabilities=["CAPABILITY_IAM"])
    wait_for_stack(account, "one", "UPDATE_COMPLETE")
    described = iot.describe_role_alias(roleAlias=ALIAS)["roleAliasDescription"]
    assert 900 == described["credentialDurationSeconds"]
    stacks.update_stack(StackName="one", TemplateBody=template(60), Capabilities=["CAPABILITY_IAM"])
    wait_for_stack(account, "one", "UPDATE_ROLLBACK_COMPLETE")
