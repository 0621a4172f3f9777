"""The names of everything that a fleet has in its AWS account, which follow from its prefix."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from infrastructure.errors import DeployError

DEFAULT_PREFIX = "amazon-defender-publisher"
TAG = "amazon-defender-publisher"  # the key of the tag that tells, by its value, which fleet a resource belongs to

# A stack's name takes 128 characters, and the longest suffix here is "-things-1000".
_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,99}")

_LONGEST_BUCKET = 63  # characters of a bucket's name
_LONGEST_TEMPLATE = 36  # characters of a provisioning template's name
_ROTATE = "-rotate"  # what the name of the template ends with by which a device gets another certificate


@dataclass(frozen=True)
class Names:
    """The names of one fleet's stacks and resources."""

    prefix: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise DeployError(
                "--prefix must begin with a letter, and have at most 100 letters, digits and hyphens, "
                f"got {self.prefix!r}"
            )

    @property
    def fleet_stack(self) -> str:
        """The stack of what all things share: the policy and the thing group."""
        return f"{self.prefix}-fleet"

    def things_stack(self, number: int) -> str:
        """One of the stacks of things and their certificates, counted from 1."""
        return f"{self.prefix}-things-{number}"

    def things_stack_number(self, stack_name: str) -> int | None:
        """Return which of this fleet's stacks of things a stack is, None if it is none of them."""
        return _number(stack_name, f"{self.prefix}-things-")

    @property
    def detect_stack(self) -> str:
        """The stack of custom metrics, security profiles and alerts, apart because AWS may refuse it."""
        return f"{self.prefix}-detect"

    @property
    def cloudwatch_stack(self) -> str:
        """The stack of what lets devices send to CloudWatch: a role and its role alias."""
        return f"{self.prefix}-cloudwatch"

    def logs_stack(self, number: int) -> str:
        """One of the stacks of log groups, counted from 1."""
        return f"{self.prefix}-logs-{number}"

    def logs_stack_number(self, stack_name: str) -> int | None:
        """Return which of this fleet's stacks of log groups a stack is, None if it is none of them."""
        return _number(stack_name, f"{self.prefix}-logs-")

    @property
    def role_alias(self) -> str:
        """The role alias by which devices get credentials for CloudWatch."""
        return self.prefix

    @property
    def artifacts_stack(self) -> str:
        """The stack of the bucket with the Greengrass component's zips, which must be there before the component."""
        return f"{self.prefix}-artifacts"

    @property
    def greengrass_stack(self) -> str:
        """The stack of the Greengrass component and its deployment."""
        return f"{self.prefix}-greengrass"

    @property
    def cores(self) -> str:
        """The thing group of the fleet's Greengrass cores."""
        return f"{self.prefix}-cores"

    def bucket(self, account: str, region: str) -> str:
        """Return the name of the bucket with the component's zips; no other account and no other fleet has it."""
        end = f"-{account}-{region}"
        begin = self.prefix.lower()
        room = _LONGEST_BUCKET - len(end)
        if len(begin) > room or begin != self.prefix or begin.endswith("-"):  # so that no two prefixes share one
            begin = f"{begin[: room - 9]}-{hashlib.sha256(self.prefix.encode()).hexdigest()[:8]}"
        return begin + end

    @property
    def claim_stack(self) -> str:
        """The stack of what lets devices provision themselves: templates, hooks, the claim and who may."""
        return f"{self.prefix}-claim"

    @property
    def template(self) -> str:
        """The provisioning template that registers a device which has the claim only."""
        room = _LONGEST_TEMPLATE - len(_ROTATE)
        if len(self.prefix) <= room:
            return self.prefix
        return f"{self.prefix[: room - 9]}-{hashlib.sha256(self.prefix.encode()).hexdigest()[:8]}"

    @property
    def rotation_template(self) -> str:
        """The provisioning template that gives a device which has a certificate another one."""
        return self.template + _ROTATE

    @property
    def claim_policy(self) -> str:
        """The IoT policy of the claim certificate."""
        return f"{self.prefix}-claim"

    @property
    def rotation_policy(self) -> str:
        """The IoT policy that devices which provisioned themselves have besides the fleet's."""
        return f"{self.prefix}-rotate"

    @property
    def serials_table(self) -> str:
        """The DynamoDB table of who may provision itself."""
        return f"{self.prefix}-serials"

    @property
    def rotation_rule(self) -> str:
        """The IoT rule that ends a certificate once its device has another one; such names have no hyphens."""
        return f"{self.prefix.replace('-', '_')}_rotated"

    @property
    def engine_bucket_stack(self) -> str:
        """The stack of the bucket with the Flink application's code and rules, which must be there before it."""
        return f"{self.prefix}-engine-bucket"

    @property
    def engine_stack(self) -> str:
        """The stack of what evaluates reports on Apache Flink."""
        return f"{self.prefix}-engine"

    @property
    def engine(self) -> str:
        """The stream, the application and the table of alarms."""
        return f"{self.prefix}-engine"

    @property
    def engine_rule(self) -> str:
        """The rule of AWS IoT that puts reports into the stream; no hyphen may be in its name."""
        return f"{self.prefix.replace('-', '_')}_engine"

    @property
    def engine_log(self) -> str:
        """The log group of the application, and of reports that the rule could not deliver."""
        return f"/aws/kinesis-analytics/{self.prefix}-engine"

    @property
    def engine_topic(self) -> str:
        """The SNS topic of the engine's alarms, where that of alerts does not exist."""
        return f"{self.prefix}-engine-alerts"

    def engine_bucket(self, account: str, region: str) -> str:
        """Return the name of the bucket with the engine's code and rules; no two fleets share one."""
        end = f"-{hashlib.sha256(f'{self.prefix}/engine'.encode()).hexdigest()[:8]}-{account}-{region}"
        return self.prefix.lower()[: _LONGEST_BUCKET - len(end)].rstrip("-") + end

    @property
    def policy(self) -> str:
        """The IoT policy of every device."""
        return self.prefix

    @property
    def group(self) -> str:
        """The thing group of the fleet, to which security profiles are attached."""
        return self.prefix

    @property
    def topic(self) -> str:
        """The SNS topic of alerts."""
        return f"{self.prefix}-alerts"

    def profile(self, name: str) -> str:
        """Return a security profile's name in the account, where a second fleet's needs another."""
        return name if self.prefix == DEFAULT_PREFIX else f"{self.prefix}-{name}"


def _number(stack_name: str, start: str) -> int | None:
    number = stack_name.removeprefix(start)
    return int(number) if number != stack_name and re.fullmatch("[1-9][0-9]{0,3}", number) else None
