"""The AWS account and region that a fleet is deployed to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from infrastructure.errors import DeployError
from infrastructure.refusals import code_of

ENDPOINT_TYPE = "iot:Data-ATS"  # whose certificate Amazon's own authorities signed; the default one is older
CREDENTIALS_ENDPOINT_TYPE = "iot:CredentialProvider"
WORKERS = 8  # calls side by side
# Throttling is answered by waiting; more tries than boto3's three, since a fleet is many calls.
RETRIES = Config(retries={"mode": "standard", "max_attempts": 8}, max_pool_connections=WORKERS, connect_timeout=10)

FEW_RETRIES = Config(retries={"mode": "standard", "max_attempts": 2}, connect_timeout=10)  # is there a network at all?


@dataclass(frozen=True)
class Account:
    """An account in a region, with the clients to talk to it."""

    id: str  # 12 digits
    region: str
    partition: str  # aws, aws-cn, aws-us-gov
    caller: str  # the ARN that the credentials stand for
    endpoint: str  # where its devices connect to, a host name
    cloudformation: Any
    iot: Any
    client: Callable[[str], Any]  # of a service that only some fleets need: logs, for instance

    def certificate_arn(self, certificate_id: str) -> str:
        """Return the ARN of a certificate."""
        return f"arn:{self.partition}:iot:{self.region}:{self.id}:cert/{certificate_id}"

    def credentials_endpoint(self) -> str:
        """Return where its devices get AWS credentials for their certificates, a host name."""
        return str(self.iot.describe_endpoint(endpointType=CREDENTIALS_ENDPOINT_TYPE)["endpointAddress"])


def choose_region(asked: str | None, environment: Mapping[str, str] = os.environ, profile: str | None = None) -> str:
    """Return the region: asked for, from the environment, or the profile's; it is never guessed.

    boto3 itself reads AWS_DEFAULT_REGION only, not AWS_REGION.
    """
    region = asked or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    region = region or boto3.session.Session(profile_name=profile).region_name
    if not region:
        raise DeployError("no region is set: give --region, or set AWS_REGION, for example to eu-west-1")
    return region


def open_account(profile: str | None, asked_region: str | None) -> Account:
    """Return the account that the credentials lead to; raises DeployError or an error of botocore's."""
    region = choose_region(asked_region, profile=profile)
    session = boto3.session.Session(profile_name=profile, region_name=region)
    caller = session.client("sts", config=FEW_RETRIES).get_caller_identity()
    iot = session.client("iot", config=RETRIES)
    return Account(
        id=caller["Account"],
        region=region,
        partition=caller["Arn"].split(":")[1],
        caller=caller["Arn"],
        endpoint=iot.describe_endpoint(endpointType=ENDPOINT_TYPE)["endpointAddress"],
        cloudformation=session.client("cloudformation", config=RETRIES),
        iot=iot,
        client=cache(lambda service: session.client(service, config=RETRIES)),
    )


def found(call: Any, **arguments: Any) -> Any:
    """Return what a call answers, None where AWS knows no such thing."""
    try:
        return call(**arguments)
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return None
        raise
