"""Alerts to an Amazon SNS topic, as AWS's own Detect sends them; boto3 is imported only where this is used."""

from __future__ import annotations

import importlib
import json
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from defender_detect.alerts.target import GIVE_UP_AFTER, Publish, Target
from defender_detect.errors import AlertError, AlertRefused, AlertSettingError
from defender_detect.evaluate.shapes import alert_body
from device_defender.wording import that

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

TOPIC = r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[a-zA-Z0-9_-]{1,256}$(?!\n)"  # no FIFO topics
LARGEST_MESSAGE = 256 * 1024  # bytes; SNS's limit
REFUSALS = {"InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid"}  # of this alert; others may pass
CONNECT_TIMEOUT, READ_TIMEOUT = 5, 10  # seconds


class Sns(Target, frozen=True):
    """An Amazon SNS topic; needs boto3, and credentials with `sns:Publish`."""

    topic_arn: Annotated[
        str,
        Meta(pattern=TOPIC, description="The topic's ARN."),
        that(None, "the ARN of an SNS topic, arn:aws:sns:REGION:ACCOUNT:NAME"),
    ]

    def open(self, publish: Publish) -> SnsSink:
        """Return what publishes at SNS; raises AlertSettingError without boto3."""
        return SnsSink(self.topic_arn)


class SnsSink:
    """Publishes alerts to an SNS topic, with the credentials that boto3 finds; they need sns:Publish on it."""

    give_up_after = GIVE_UP_AFTER

    def __init__(self, topic_arn: str, client: Any = None) -> None:
        """Prepare to publish; raises AlertSettingError if boto3 is missing."""
        self.name = f"the SNS topic {topic_arn}"
        self._arn = topic_arn
        self._client = client or make_client(topic_arn.split(":")[3])

    def send(self, event: Event) -> None:
        """Publish an alert."""
        message = json.dumps(alert_body(event))
        if len(message) > LARGEST_MESSAGE:
            raise AlertRefused(f"it has {len(message)} bytes, and SNS takes {LARGEST_MESSAGE}")
        try:
            self._client.publish(TopicArn=self._arn, Message=message)
        except Exception as error:  # botocore's errors cannot be named without importing it
            code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
            raise (AlertRefused if code in REFUSALS else AlertError)(" ".join(str(error).split())) from error


def make_client(region: str, service: str = "sns") -> Any:
    """Make boto3's client, which tries once for each of our own attempts; raises AlertSettingError without boto3."""
    try:
        boto3, config = importlib.import_module("boto3"), importlib.import_module("botocore.config")
    except ImportError as error:
        raise AlertSettingError(
            f"alerts to SNS need boto3 ({error}); run: {shlex.quote(sys.executable)} -m pip install boto3"
        ) from error
    settings = config.Config(
        connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT, retries={"total_max_attempts": 1}
    )
    return boto3.client(service, region_name=region, config=settings)
