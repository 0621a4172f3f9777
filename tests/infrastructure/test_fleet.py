from __future__ import annotations

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich")

from infrastructure.deployed import Deployed  # noqa: E402
from tests.fakes.fake_account import make_fleet, things_template  # noqa: E402
from tests.fakes.fake_cloudformation import FakeCloudFormation  # noqa: E402


def test_a_fleet_is_read_as_it_is_now_and_the_one_before_stays_as_it_was() -> None:
    aws = FakeCloudFormation()
    fleet = make_fleet(cloudformation=aws)
    aws.add("lab-things-1", template=things_template({"a": "csr"}))
    assert ["a"] == list(fleet.read().deployed.things)
    assert Deployed() == fleet.deployed
