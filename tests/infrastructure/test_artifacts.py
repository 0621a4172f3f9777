"""Artifacts are uploaded once, and only to the fleet's own bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk")
from infrastructure.artifacts import empty, lost, upload  # noqa: E402
from infrastructure.component import read_component  # noqa: E402
from infrastructure.names import Names  # noqa: E402
from tests.fakes.fake_account import ID  # noqa: E402
from tests.infrastructure.test_greengrass import World, build, deployed  # noqa: E402

NAMES, BUCKET = Names("lab"), "lab-123456789012-eu-west-1"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    return build(tmp_path)


def test_only_what_is_not_in_the_bucket_like_that_is_uploaded_and_only_to_our_own(built: Path) -> None:
    world, component = World(built, deployed(built)), read_component(built)
    assert world.s3.objects is not None
    world.s3.objects[component.artifacts[0].key] = "another"
    del world.s3.objects[component.artifacts[1].key]
    uploaded = upload(world.fleet.account, BUCKET, component.artifacts)
    assert list(component.artifacts[:2]) == uploaded
    assert [] == lost(world.fleet.account, BUCKET, component.digests)
    assert {ID} == {each["ExpectedBucketOwner"] for each in world.s3.asked}
    empty(world.fleet.account, BUCKET)
    assert {} == world.s3.objects
    world.s3.objects = None
    empty(world.fleet.account, BUCKET)  # which is gone already
