"""A log group that a device sends to."""

from __future__ import annotations

import hashlib

from aws_cdk.aws_logs import CfnLogGroup
from constructs import Construct

from infrastructure.names import TAG


class LogGroup(Construct):
    """A log group, which goes with its stack, and all that is in it with it; its metadata tells whose it is."""

    def __init__(self, scope: Construct, construct_id: str, name: str, thing: str, retention: int | None) -> None:
        super().__init__(scope, construct_id)
        group = CfnLogGroup(self, "LogGroup", log_group_name=name, retention_in_days=retention)
        group.add_metadata(TAG, thing)
        group.override_logical_id(f"LogGroup{hashlib.sha256(name.encode()).hexdigest()[:8]}")
