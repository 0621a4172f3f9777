"""The bucket with the component's zips."""

from __future__ import annotations

from aws_cdk import CfnOutput
from aws_cdk.aws_s3 import CfnBucket
from constructs import Construct


class ArtifactsBucket(Construct):
    """A bucket that nothing of is ever public; cores read it by their token exchange role."""

    def __init__(self, scope: Construct, construct_id: str, name: str) -> None:
        super().__init__(scope, construct_id)
        own = CfnBucket.OwnershipControlsRuleProperty(object_ownership="BucketOwnerEnforced")
        bucket = CfnBucket(
            self,
            "Bucket",
            bucket_name=name,
            ownership_controls=CfnBucket.OwnershipControlsProperty(rules=[own]),
            public_access_block_configuration=CfnBucket.PublicAccessBlockConfigurationProperty(
                block_public_acls=True, block_public_policy=True, ignore_public_acls=True, restrict_public_buckets=True
            ),
        )
        CfnOutput(self, "Name", value=bucket.ref).override_logical_id("Bucket")
