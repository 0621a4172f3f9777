"""The emulator does what AWS does, where the tests of deploy.py rely on it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import ssl
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography import x509

from tests.fakes.device import TOPIC, Device
from tests.fakes.emulator import ROOT, Account, Emulator, wait_for_stack
from tests.waiting import wait_until

GROUP = {"Type": "AWS::IoT::ThingGroup", "Properties": {"ThingGroupName": "fleet"}}
METRIC = {"Type": "AWS::IoT::CustomMetric", "Properties": {"MetricName": "cpu_usage", "MetricType": "number"}}


def refusal(call: Callable[..., object], **parameters: object) -> str:
    """Return the code of the error that a call ends with."""
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as error:
        call(**parameters)
    return str(error.value.response["Error"]["Code"])


def profile(value: dict[str, object], metric: object = "aws:num-listening-tcp-ports") -> dict[str, Any]:
    criteria = {"ComparisonOperator": "less-than", "Value": value}
    properties = {
        "SecurityProfileName": "calm",
        "Behaviors": [{"Name": "few-ports", "Metric": metric, "Criteria": criteria}],
        "TargetArns": [{"Fn::GetAtt": ["Group", "Arn"]}],
        "Tags": [{"Key": "fleet", "Value": "mine"}],
    }
    return {"Type": "AWS::IoT::SecurityProfile", "Properties": properties}


def create(account: Account, stack: str, **resources: object) -> None:
    account.client("cloudformation").create_stack(StackName=stack, TemplateBody=json.dumps({"Resources": resources}))


def why(account: Account, stack: str) -> str:
    """Return why a stack failed."""
    events = account.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    return next(event["ResourceStatusReason"] for event in events if event["ResourceStatus"].endswith("_FAILED"))


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc/net")
def test_it_listens_on_the_loopback_interface_only(emulator: Emulator) -> None:
    descriptors = Path(f"/proc/{emulator.pid}/fd").iterdir()
    inodes = {os.readlink(each)[8:-1] for each in descriptors if os.readlink(each).startswith("socket:")}
    found = [
        line.split()[1]
        for table in ("tcp", "tcp6", "udp", "udp6")
        for line in Path(f"/proc/{emulator.pid}/net/{table}").read_text().splitlines()[1:]
        if line.split()[9] in inodes and (table.startswith("udp") or line.split()[3] == "0A")
    ]
    assert 3 == len(found)
    assert {"0100007F"} == {address.partition(":")[0] for address in found}


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = f"""
        import pathlib, time
        from tests.fakes.emulator import Emulator
        print(Emulator(pathlib.Path({str(tmp_path)!r})).pid, flush=True)
        time.sleep(60)
    """
    if sys.version_info < (3, 10):
        pytest.skip("ministack needs Python 3.10 or later")
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    emulator = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert wait_until(lambda: not is_running(emulator))


def is_running(process: int) -> bool:
    """Tell whether a process is there and no zombie, as an orphan is until somebody reaps it."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_accounts_and_regions_know_nothing_of_each_other(emulator: Emulator) -> None:
    mine, other = emulator.account(), emulator.account()
    create(mine, "one", Group=GROUP)
    wait_for_stack(mine, "one", "CREATE_COMPLETE")
    assert ["fleet"] == mine.snapshot()["groups"]
    assert [] == other.snapshot()["groups"] == mine.elsewhere("us-west-2").snapshot()["groups"]
    assert "cloudformation:CreateStack" not in other.calls()


def test_calls_are_counted_by_action_and_writes_are_told_from_reads(account: Account) -> None:
    account.client("iot").list_things()
    account.client("iot").list_things()
    account.client("iot").create_thing(thingName="rpi-0001")
    assert {"iot:ListThings": 2, "iot:CreateThing": 1} == account.calls()
    assert {"iot:CreateThing": 1} == account.writes()
    account.forget_calls()
    assert {} == account.calls()


def test_a_metric_and_a_profile_are_made_updated_and_deleted_by_a_stack(account: Account) -> None:
    iot, stacks = account.client("iot"), account.client("cloudformation")
    resources = {"Group": GROUP, "Metric": METRIC, "Profile": profile({"Number": 75}, {"Ref": "Metric"})}
    create(account, "detect", **resources)
    wait_for_stack(account, "detect", "CREATE_COMPLETE")
    described = iot.describe_security_profile(securityProfileName="calm")
    assert {"number": 75.0} == described["behaviors"][0]["criteria"]["value"]
    tags = iot.list_tags_for_resource(resourceArn=described["securityProfileArn"])["tags"]
    assert [{"Key": "fleet", "Value": "mine"}] == tags
    targets = iot.list_targets_for_security_profile(securityProfileName="calm")["securityProfileTargets"]
    assert [f"arn:aws:iot:eu-west-1:{account.id}:thinggroup/fleet"] == [target["arn"] for target in targets]
    assert "InvalidRequestException" == refusal(iot.delete_custom_metric, metricName="cpu_usage")
    changed = {"Resources": {**resources, "Profile": profile({"Number": 50}, {"Ref": "Metric"})}}
    stacks.update_stack(StackName="detect", TemplateBody=json.dumps(changed))
    wait_for_stack(account, "detect", "UPDATE_COMPLETE")
    described = iot.describe_security_profile(securityProfileName="calm")
    assert {"number": 50.0} == described["behaviors"][0]["criteria"]["value"]
    stacks.delete_stack(StackName="detect")
    assert wait_until(lambda: account.snapshot()["stacks"] == {})
    assert [] == account.snapshot()["metrics"] + account.snapshot()["profiles"] + account.snapshot()["groups"]


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        pytest.param(profile({"Count": 300}), "expected type: String", id="a count that is no string"),
        pytest.param(profile({"Number": 75}, "cpu_usage"), "cpu_usage does not exist", id="a metric that is not there"),
        pytest.param(profile({"Count": "-1"}), "count", id="a count below 0"),
        pytest.param(profile({"Cuont": "1"}), "cuont", id="a key that does not exist"),
    ],
)
def test_a_stack_with_a_profile_that_aws_would_refuse_is_rolled_back(
    account: Account, resource: dict[str, Any], reason: str
) -> None:
    create(account, "detect", Group=GROUP, Profile=resource)
    wait_for_stack(account, "detect", "ROLLBACK_COMPLETE")
    assert reason in why(account, "detect")
    assert [] == account.snapshot()["profiles"] + account.snapshot()["groups"]


def test_a_metric_that_exists_outside_fails_the_stack(account: Account) -> None:
    account.client("iot").create_custom_metric(metricName="cpu_usage", metricType="number", clientRequestToken="x")
    create(account, "detect", Metric=METRIC)
    wait_for_stack(account, "detect", "ROLLBACK_COMPLETE")
    assert "identifier 'cpu_usage' already exists" in why(account, "detect")


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "UPDATE_IN_PROGRESS"])
def test_a_stack_in_a_state_that_allows_no_update_takes_no_change_set(account: Account, status: str) -> None:
    stacks = account.client("cloudformation")
    if status == "ROLLBACK_COMPLETE":
        account.deny("iot:CreateThingGroup")
    create(account, "one", Group=GROUP)
    wait_for_stack(account, "one", "CREATE_COMPLETE" if status != "ROLLBACK_COMPLETE" else status)
    account.slow_stacks(1)
    changed = json.dumps({"Resources": {"Group": GROUP, "Metric": METRIC}})
    if status == "UPDATE_IN_PROGRESS":
        stacks.update_stack(StackName="one", TemplateBody=changed)
        assert "ValidationError" == refusal(stacks.delete_stack, StackName="one")
    change = {"StackName": "one", "ChangeSetName": "next", "ChangeSetType": "UPDATE", "TemplateBody": changed}
    assert "ValidationError" == refusal(stacks.create_change_set, **change)
    assert "ValidationError" == refusal(stacks.create_change_set, **{**change, "ChangeSetType": "CREATE"})


def test_a_stack_that_waits_for_a_change_set_is_the_same_with_another_one(account: Account) -> None:
    stacks = account.client("cloudformation")
    change = {
        "StackName": "one",
        "ChangeSetType": "CREATE",
        "TemplateBody": json.dumps({"Resources": {"Group": GROUP}}),
    }
    first, second = (stacks.create_change_set(**change, ChangeSetName=name) for name in ("first", "second"))
    assert first["StackId"] == second["StackId"]
    assert first["StackId"] == stacks.describe_change_set(StackName="one", ChangeSetName="second")["StackId"]
    stacks.execute_change_set(StackName="one", ChangeSetName="first")
    assert first["StackId"] == wait_for_stack(account, "one", "CREATE_COMPLETE")["StackId"]


def test_a_permission_that_is_missing_is_named_by_the_call_and_by_the_stack(account: Account) -> None:
    account.deny("iot:CreateThingGroup")
    expected = "is not authorized to perform: iot:CreateThingGroup on resource: arn:aws:iot:eu-west-1:"
    assert "AccessDeniedException" == refusal(account.client("iot").create_thing_group, thingGroupName="fleet")
    create(account, "one", Group=GROUP)
    wait_for_stack(account, "one", "ROLLBACK_COMPLETE")
    assert expected in why(account, "one")
    account.mend()
    account.client("iot").create_thing_group(thingGroupName="fleet")


@pytest.mark.parametrize(
    ("break_it", "code"),
    [(Account.expire_credentials, "ExpiredToken"), (Account.refuse_credentials, "InvalidClientTokenId")],
)
def test_credentials_are_refused_in_awss_words(
    account: Account, break_it: Callable[[Account], None], code: str
) -> None:
    break_it(account)
    assert code == refusal(account.client("sts").get_caller_identity)
    assert code == refusal(account.client("cloudformation").describe_stacks)
    assert code == refusal(account.client("iot").list_things)


def test_what_is_throttled_works_the_next_time(account: Account) -> None:
    account.throttle("iot:ListThings", times=1)
    assert [] == account.client("iot").list_things()["things"]  # boto3 tries again
    assert 2 == account.calls()["iot:ListThings"]


@pytest.fixture
def device(account: Account, tmp_path: Path) -> Device:
    return Device(account, tmp_path)


def report() -> str:
    header = {"report_id": int(time.time()), "version": "1.0"}
    return json.dumps({"header": header, "custom_metrics": {"cpu_usage": [{"number": 1.5}]}})


def test_a_certificates_id_is_the_sha_256_of_its_der(device: Device) -> None:
    described = device.account.client("iot").describe_certificate(certificateId=device.certificate_id)
    der = ssl.PEM_cert_to_DER_cert(described["certificateDescription"]["certificatePem"])
    assert hashlib.sha256(der).hexdigest() == device.certificate_id


def test_a_certificate_ends_when_those_of_aws_do(device: Device) -> None:
    """The end that every certificate of AWS IoT has, beyond what 32 bits can count."""
    described = device.account.client("iot").describe_certificate(certificateId=device.certificate_id)
    certificate = x509.load_pem_x509_certificate(described["certificateDescription"]["certificatePem"].encode())
    assert datetime(2049, 12, 31, 23, 59, 59, tzinfo=timezone.utc) == certificate.not_valid_after_utc


def test_a_report_is_accepted_and_one_that_comes_too_soon_is_throttled(device: Device) -> None:
    client, topic = device.client(), TOPIC.format(device.name)
    assert client.connect()
    assert client.subscribe(f"{topic}/accepted")
    assert client.publish(topic, report())
    reply = client.receive()
    assert reply is not None
    assert f"{topic}/accepted" == reply[0]
    assert client.publish(topic, report())
    assert client.publish(topic, "{}")
    codes = [each.get("code") for each in device.account.reports()]
    assert [None, "Throttled", "InvalidPayload"] == codes


@pytest.mark.parametrize("deed", ["publish as another", "subscribe as another", "subscribe as all", "be another"])
def test_the_policy_keeps_a_thing_to_itself(device: Device, deed: str) -> None:
    client = device.client("rpi-0002" if deed == "be another" else None)
    assert (deed != "be another") == client.connect()
    if deed == "publish as another":
        assert not client.publish(TOPIC.format("rpi-0002"), report())
    if deed.startswith("subscribe"):
        assert not client.subscribe(TOPIC.format("rpi-0002" if deed == "subscribe as another" else "+") + "/accepted")
    assert [] == device.account.reports()


@pytest.mark.parametrize("deed", ["deactivate", "detach from the thing", "detach from the policy"])
def test_a_certificate_that_lost_its_rights_is_refused(device: Device, deed: str) -> None:
    iot = device.account.client("iot")
    if deed == "deactivate":
        iot.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")
    elif deed == "detach from the thing":
        iot.detach_thing_principal(thingName=device.name, principal=device.arn)
    else:
        iot.detach_policy(policyName=device.name, target=device.arn)
    assert not device.client().connect()
