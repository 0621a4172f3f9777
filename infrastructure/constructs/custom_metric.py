"""A custom metric, which Device Defender refuses reports of before it exists."""

from __future__ import annotations

from aws_cdk.aws_iot import CfnCustomMetric
from constructs import Construct


class CustomMetric(Construct):
    """A custom metric under the name that the devices report it with; `reference` is that name, to a profile."""

    def __init__(self, scope: Construct, construct_id: str, name: str, metric_type: str) -> None:
        super().__init__(scope, construct_id)
        self.reference = CfnCustomMetric(self, "Metric", metric_name=name, metric_type=metric_type).ref
