"""AWS on loopback: an emulator as a process of its own, with as many empty accounts as there are tests."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
REGION = "eu-west-1"
LONGEST_START, LONGEST_END = 60.0, 5.0  # seconds
CALLER = "arn:aws:sts::{account}:assumed-role/deployer/somebody"
DENIED = f"User: {CALLER} is not authorized to perform: {{action}} on resource: {{resource}}"
JSON_ACTIONS = ("dynamodb:", "iot:", "logs:")  # whose codes end in Exception
# What reads: every other call is a write, which --plan and a second run do not make.
READS = ("Describe", "Get", "List", "Validate", "Detect", "Estimate", "Scan", "Search")


class Emulator:
    """ministack with what it lacks: Device Defender, role aliases, AWS IoT's credentials provider, CloudWatch's limits.

    Keep it in a `with`, or close it.
    """

    def __init__(self, directory: Path) -> None:
        """Start the emulator; `directory` gets its log, and the certificate of the authority that signed its own."""
        self.log, self.authority = directory / "emulator.log", directory / "authority.pem"
        self._lock, self._accounts = threading.Lock(), itertools.count(100_000_000_001)
        kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "SYSTEMROOT")}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fakes.emulator_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env={**kept, "TMPDIR": str(directory), "PYTHONDONTWRITEBYTECODE": "1"},
            )
        watchdog = threading.Timer(LONGEST_START, self._process.kill)
        watchdog.start()
        started = self._read()
        watchdog.cancel()
        self.url, self.mqtt_port = f"http://127.0.0.1:{started['gateway']}", int(started["mqtt"])
        self.credentials_endpoint = f"localhost:{started['provider']}"  # of AWS IoT's credentials provider, by HTTPS
        self.authority.write_text(started["authority"])
        self.pid = self._process.pid

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def account(self, region: str = REGION) -> Account:
        """Return an account that has nothing in it yet."""
        return Account(self, str(next(self._accounts)), region)

    def ask(self, ask: str, account: str, **details: object) -> Any:
        """Ask the emulator's process something."""
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"ask": ask, "account": account, **details}) + "\n")
            self._process.stdin.flush()
            return self._read()

    def close(self) -> None:
        """End the emulator."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(LONGEST_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the emulator ended: {self.log.read_text()[-2000:]}")
        return json.loads(line)


@dataclass(frozen=True)
class Account:
    """One account of the emulator, which knows nothing of the others: a 12-digit access key is its root user."""

    emulator: Emulator = field(repr=False)
    id: str
    region: str = REGION

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs in its environment to find this account, and to find no other."""
        return {
            "AWS_ENDPOINT_URL": self.emulator.url,
            "AWS_ACCESS_KEY_ID": self.id,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": self.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:
        """Return boto3's client of a service, whose calls are counted like all others."""
        return client_of(self.emulator.url, self.id, self.region, service)

    def elsewhere(self, region: str) -> Account:
        """Return the same account in another region, where there is nothing of this one."""
        return Account(self.emulator, self.id, region)

    def calls(self) -> dict[str, int]:
        """Return how often each action was called, as `{"iot:DescribeEndpoint": 1}`."""
        return dict(self.emulator.ask("calls", self.id))

    def writes(self) -> dict[str, int]:
        """Return the calls that change something, or may."""
        return {action: count for action, count in self.calls().items() if not is_read(action)}

    def forget_calls(self) -> None:
        """Count from 0 again."""
        self.emulator.ask("forget", self.id)

    def reports(self) -> list[dict[str, Any]]:
        """Return what the things reported, accepted or not, as {thing, report_id, accepted, code, report, at}."""
        return list(self.emulator.ask("reports", self.id))

    def accept_reports_every(self, seconds: float) -> None:
        """Let a thing report more often than every 300 s."""
        self.emulator.ask("interval", self.id, seconds=seconds)

    def greengrass(self, **asked: Any) -> Any:
        """Return which components and deployments there are; or add a `core=`, `deploy=` it, `forget=` an ARN."""
        return self.emulator.ask("greengrass", self.id, region=self.region, **asked)

    def slow_stacks(self, seconds: float) -> None:
        """Let every stack operation take so much longer."""
        self.emulator.ask("delay", self.id, seconds=seconds)

    def credentials(self) -> list[dict[str, Any]]:
        """Return what the credentials provider was asked, as {thing, alias, status}."""
        return list(self.emulator.ask("credentials", self.id))

    def provisioning(self) -> list[dict[str, Any]]:
        """Return what devices asked of fleet provisioning, as {client, operation, at, verdict, code}."""
        return list(self.emulator.ask("provisioning", self.id))

    def register_at_most(self, number: int) -> None:
        """Let devices register so often a second, and answer Throttled beyond; AWS's default is 10."""
        self.emulator.ask("registrations", self.id, number=number)

    def credentials_last(self, seconds: float) -> None:
        """Let the credentials provider give credentials that expire sooner than role aliases say."""
        self.emulator.ask("lifetime", self.id, seconds=seconds)

    def slow(self, action: str, seconds: float) -> None:
        """Let an action take so much longer: `logs:PutLogEvents`, `iot:AssumeRoleWithCertificate`."""
        self.emulator.ask("lag", self.id, action=action, seconds=seconds)

    def fail(
        self,
        action: str,
        code: str,
        message: str,
        status: int = 400,
        subject: str = "",
        times: int = -1,
        done: bool = False,
    ) -> None:
        """Let an action fail, called directly or by CloudFormation: `iot:CreateThing`, `cloudformation:*` or `*`.

        `subject` is what the request must hold to fail, such as a thing's name; `times` is how often, -1 for ever.
        `done` is whether what was asked for is done all the same, as where an answer gets lost.
        """
        fault = {"action": action, "code": code, "message": message, "status": status, "done": done}
        self.emulator.ask("fail", self.id, fault={**fault, "subject": subject, "times": times})

    def deny(self, action: str, subject: str = "") -> None:
        """Take the permission for an action away."""
        message = DENIED.replace("{account}", self.id)
        is_json = action.startswith(JSON_ACTIONS)
        self.fail(action, "AccessDeniedException" if is_json else "AccessDenied", message, 403, subject)

    def throttle(self, action: str, times: int) -> None:
        """Refuse an action so often, because it is called too often."""
        code = "ThrottlingException" if action.startswith(JSON_ACTIONS) else "Throttling"
        self.fail(action, code, "Rate exceeded", 429 if action.startswith("iot:") else 400, times=times)

    def close_detect(self) -> None:
        """Be an account to which Detect is closed; with which words AWS says so is not known."""
        message = "AWS IoT Device Defender Detect is no longer available to new customers."
        for action in ("iot:CreateCustomMetric", "iot:CreateSecurityProfile"):
            self.fail(action, "InvalidRequestException", message, 400)

    def expire_credentials(self) -> None:
        """Let the credentials have expired."""
        self.fail("*", "ExpiredToken", "The security token included in the request is expired", 403)

    def refuse_credentials(self) -> None:
        """Let the credentials be unknown."""
        self.fail("*", "InvalidClientTokenId", "The security token included in the request is invalid.", 403)

    def mend(self) -> None:
        """Let nothing fail, and nothing be slow, any more."""
        self.emulator.ask("mend", self.id)

    def snapshot(self) -> dict[str, Any]:
        """Return the names of everything in the account."""
        return snapshot(self)


@cache
def client_of(url: str, account: str, region: str, service: str) -> Any:
    """Return boto3's client of a service; making one takes longer than most of what it is asked."""
    import boto3
    from botocore.config import Config

    client: Any = boto3.client  # whose types know literal names of services only
    return client(
        service,
        config=Config(proxies={}),
        region_name=region,
        endpoint_url=url,
        aws_access_key_id=account,
        aws_secret_access_key="test",  # noqa: S106  ministack's password for the root user of any account
    )


def is_read(action: str) -> bool:
    """Tell whether an action such as `iot:DescribeEndpoint` changes nothing."""
    return action.partition(":")[2].startswith(READS)


def snapshot(account: Account) -> dict[str, Any]:
    """Return the names of everything of ours that an account can have."""
    iot, sns, stacks = account.client("iot"), account.client("sns"), account.client("cloudformation")
    pages = account.client("logs").get_paginator("describe_log_groups").paginate()
    return {
        "things": sorted(thing["thingName"] for thing in iot.list_things()["things"]),
        "certificates": sorted(each["certificateId"] for each in iot.list_certificates()["certificates"]),
        "policies": sorted(policy["policyName"] for policy in iot.list_policies()["policies"]),
        "groups": sorted(group["groupName"] for group in iot.list_thing_groups()["thingGroups"]),
        "metrics": sorted(iot.list_custom_metrics()["metricNames"]),
        "profiles": sorted(each["name"] for each in iot.list_security_profiles()["securityProfileIdentifiers"]),
        "role_aliases": sorted(iot.list_role_aliases()["roleAliases"]),
        "log_groups": sorted(group["logGroupName"] for page in pages for group in page["logGroups"]),
        "templates": sorted(each["templateName"] for each in iot.list_provisioning_templates()["templates"]),
        "rules": sorted(each["ruleName"] for each in iot.list_topic_rules()["rules"]),
        "functions": sorted(each["FunctionName"] for each in account.client("lambda").list_functions()["Functions"]),
        "tables": sorted(account.client("dynamodb").list_tables()["TableNames"]),
        "buckets": sorted(bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]),
        **{kind: sorted(found) for kind, found in account.greengrass().items()},
        "topics": sorted(topic["TopicArn"] for topic in sns.list_topics()["Topics"]),
        "stacks": {each["StackName"]: each["StackStatus"] for each in stacks.describe_stacks()["Stacks"]},
    }


def wait_for_stack(account: Account, name: str, status: str, seconds: float = 60.0) -> Mapping[str, Any]:
    """Wait until a stack has a status, and return it; raise AssertionError if it never has."""
    deadline, found = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        stacks = account.client("cloudformation").describe_stacks()["Stacks"]
        found = next((stack for stack in stacks if stack["StackName"] == name), None)
        if found is not None and found["StackStatus"] == status:
            return dict(found)
        time.sleep(0.02)
    raise AssertionError(f"{name} is {found and found['StackStatus']}, not {status}")
