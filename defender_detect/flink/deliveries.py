"""Alarms to where Flink has no connector for: an SNS topic, and a DynamoDB table.

After a restart alarms since the last checkpoint come again, with the same ids. The table takes each once; SNS delivers
what comes again, so that who listens goes by violationId and violationEventType.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from defender_detect.alerts.sns import LARGEST_MESSAGE, REFUSALS, make_client
from defender_detect.errors import AlertRefused

WAITS = (1, 2, 4, 8, 15, 30)  # seconds between tries; after the last one the job begins again at its last checkpoint
TAKEN = "ConditionalCheckFailedException"

log = logging.getLogger(__name__)
Send = Callable[[str], None]


class Delivery(Protocol):
    """Where alarms are delivered; it is pickled, and opened by each worker."""

    def open(self) -> Send:
        """Return what delivers an alarm, a line of JSON, or raises."""


class Topic(NamedTuple):
    """An SNS topic."""

    arn: str

    def open(self, client: Any = None, sleep: Callable[[float], None] = time.sleep) -> Send:
        """Return what publishes an alarm."""
        client = client or make_client(self.arn.split(":")[3])

        def publish(line: str) -> None:
            if len(line) > LARGEST_MESSAGE:
                raise AlertRefused(f"it has {len(line)} bytes, and SNS takes {LARGEST_MESSAGE}")
            client.publish(TopicArn=self.arn, Message=line)

        return lambda line: deliver(publish, line, f"the SNS topic {self.arn}", sleep)


class Table(NamedTuple):
    """A DynamoDB table whose keys are violationId and type."""

    name: str
    region: str

    def open(self, client: Any = None, sleep: Callable[[float], None] = time.sleep) -> Send:
        """Return what puts an alarm, unless it is there."""
        client = client or make_client(self.region, "dynamodb")

        def put(line: str) -> None:
            client.put_item(
                TableName=self.name,
                Item=item_of(json.loads(line), line),
                ConditionExpression="attribute_not_exists(violationId)",
            )

        return lambda line: deliver(put, line, f"the table {self.name}", sleep)


def item_of(alarm: dict[str, Any], line: str) -> dict[str, dict[str, str]]:
    """Return an alarm as DynamoDB has it: what one asks by, and the whole as JSON."""
    texts = {
        "violationId": alarm["violationId"],
        "type": alarm["violationEventType"],
        "thingName": alarm["thingName"],
        "securityProfileName": alarm["securityProfileName"],
        "behavior": alarm["behavior"]["name"],
        "alarm": line,
    }
    return {**{key: {"S": value} for key, value in texts.items()}, "time": {"N": str(alarm["violationEventTime"])}}


def deliver(send: Send, line: str, name: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Deliver an alarm, however often that takes; raise if it does not succeed, so that nothing is lost.

    What will never be taken is said, and passed over: it would hold up all others.
    """
    for wait in (*WAITS, None):
        try:
            send(line)
            return
        except Exception as error:  # noqa: BLE001 - botocore's errors cannot be named without importing it
            code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
            if code == TAKEN:
                return
            if isinstance(error, AlertRefused) or code in REFUSALS:
                log.error("%s does not take an alarm: %s: %s", name, error, line[:500])
                return
            if wait is None:
                raise
            log.warning("an alarm could not be delivered to %s, trying again in %d s: %s", name, wait, error)
            sleep(wait)
