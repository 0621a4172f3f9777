"""A device in the emulator: a thing with a certificate and least-privilege policies, made by calls."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.fakes.emulator import Account
from tests.fakes.mqtt_client import MqttClient

TOPIC = "$aws/things/{}/defender/metrics/json"
THING_NAME = "${iot:Connection.Thing.ThingName}"
THING = "${credentials-iot:ThingName}"
TRUST = {"Effect": "Allow", "Principal": {"Service": "credentials.iot.amazonaws.com"}, "Action": "sts:AssumeRole"}
LOGS = ("logs:CreateLogStream", "logs:GetLogEvents", "logs:PutLogEvents")


class Device:
    """A thing with a certificate, whose files are in `directory`."""

    def __init__(self, account: Account, directory: Path, name: str = "rpi-0001") -> None:
        self.account, self.name, self._directory, iot = account, name, directory, account.client("iot")
        self._start = f"arn:aws:iot:{account.region}:{account.id}:"
        allow = {
            "iot:Connect": f"client/{THING_NAME}",
            "iot:Publish": f"topic/{TOPIC.format(THING_NAME)}",
            "iot:Subscribe": f"topicfilter/{TOPIC.format(THING_NAME)}/accepted",
            "iot:Receive": f"topic/{TOPIC.format(THING_NAME)}/accepted",
        }
        attached = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
        statements = [
            {"Effect": "Allow", "Action": action, "Resource": self._start + resource, "Condition": attached}
            for action, resource in allow.items()
        ]
        iot.create_policy(policyName=name, policyDocument=policy(*statements))
        iot.create_thing(thingName=name)
        from infrastructure.keys import KeyStore

        request = KeyStore(directory / "keys").request(name)
        made = iot.create_certificate_from_csr(certificateSigningRequest=request, setAsActive=True)
        self.certificate_id, self.arn = made["certificateId"], made["certificateArn"]
        iot.attach_policy(policyName=name, target=self.arn)
        iot.attach_thing_principal(thingName=name, principal=self.arn)
        self.certificate, self.private_key = directory / "certificate.pem", directory / "private.key"
        self.certificate.write_text(made["certificatePem"])
        shutil.copy(directory / "keys" / name / "private.key.new", self.private_key)

    def client(self, client_id: str | None = None) -> MqttClient:
        emulator = self.account.emulator
        return MqttClient(
            emulator.mqtt_port, emulator.authority, self.certificate, self.private_key, client_id or self.name
        )

    def allow_cloudwatch(
        self, alias: str = "device-cloudwatch", group: str = f"/system/rpi/{THING}", namespace: str = "Lab"
    ) -> None:
        """Let the certificate assume a role that may send to its own log group and to a namespace."""
        iam, iot = self.account.client("iam"), self.account.client("iot")
        role = iam.create_role(RoleName=alias, AssumeRolePolicyDocument=policy(TRUST))["Role"]["Arn"]
        streams = f"arn:aws:logs:{self.account.region}:{self.account.id}:log-group:{group}:*"
        only = {"StringEquals": {"cloudwatch:namespace": namespace}}
        put = {"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*", "Condition": only}
        send = {"Effect": "Allow", "Action": LOGS, "Resource": streams}
        iam.put_role_policy(RoleName=alias, PolicyName="cloudwatch", PolicyDocument=policy(put, send))
        iot.create_role_alias(roleAlias=alias, roleArn=role, credentialDurationSeconds=3600)
        self.allow(f"{self.name}-{alias}", "iot:AssumeRoleWithCertificate", f"rolealias/{alias}")

    def allow(self, name: str, action: str, resource: str) -> None:
        """Attach another policy to the certificate."""
        statement = {"Effect": "Allow", "Action": action, "Resource": self._start + resource}
        iot = self.account.client("iot")
        iot.create_policy(policyName=name, policyDocument=policy(statement))
        iot.attach_policy(policyName=name, target=self.arn)

    @property
    def authentication(self) -> dict[str, Any]:
        """What `agent.authentication` has for amazon-defender-cloudwatch to reach the credentials provider."""
        emulator = self.account.emulator
        return {
            "certificate": str(self.certificate),
            "private_key": str(self.private_key),
            "root_ca": str(emulator.authority),
            "credentials": {"endpoint": emulator.credentials_endpoint, "role_alias": "device-cloudwatch"},
        }


def policy(*statements: dict[str, Any]) -> str:
    """Return a policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
