"""The bucket of a fleet's own, with the component's zips, from which cores download them."""

from __future__ import annotations

from collections.abc import Iterable

from botocore.exceptions import ClientError

from infrastructure.account import Account
from infrastructure.component import Artifact
from infrastructure.refusals import code_of

DIGEST = "sha256"  # the key of an object's metadata with its digest
ABSENT = ("404", "NoSuchBucket", "NoSuchKey", "NotFound")


def upload(account: Account, bucket: str, artifacts: Iterable[Artifact]) -> list[Artifact]:
    """Put the zips into the bucket that are not there like that; return those."""
    missing = [artifact for artifact in artifacts if not _is_there(account, bucket, artifact)]
    for artifact in missing:
        account.client("s3").put_object(
            Bucket=bucket,
            Key=artifact.key,
            Body=artifact.path.read_bytes(),
            ContentType="application/zip",
            Metadata={DIGEST: artifact.digest},
            ExpectedBucketOwner=account.id,  # no bucket of the name that somebody else made first
        )
    return missing


def lost(account: Account, bucket: str, keys: Iterable[str]) -> list[str]:
    """Return those of the keys that the bucket has no longer; all of them where there is no such bucket."""
    try:
        pages = (
            account.client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=bucket, ExpectedBucketOwner=account.id)
        )
        found = {each["Key"] for page in pages for each in page.get("Contents", [])}
    except ClientError as error:
        if code_of(error) not in ABSENT:
            raise
        found = set()
    return [key for key in keys if key not in found]


def empty(account: Account, bucket: str) -> None:
    """Delete all that is in the bucket, which may be gone; one with something in it cannot be deleted."""
    s3 = account.client("s3")
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, ExpectedBucketOwner=account.id):
            keys = [{"Key": each["Key"]} for each in page.get("Contents", [])]
            if keys:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": keys}, ExpectedBucketOwner=account.id)
    except ClientError as error:
        if code_of(error) not in ABSENT:
            raise


def _is_there(account: Account, bucket: str, artifact: Artifact) -> bool:
    try:
        head = account.client("s3").head_object(Bucket=bucket, Key=artifact.key, ExpectedBucketOwner=account.id)
    except ClientError as error:
        if code_of(error) not in ABSENT:
            raise
        return False
    return bool(head.get("Metadata", {}).get(DIGEST) == artifact.digest)
