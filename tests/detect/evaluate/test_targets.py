"""A target is the same by our name and by AWS's ARN, whatever the region, the account and the partition are."""

from __future__ import annotations

import pytest

from defender_detect.evaluate.detector import ALL_THINGS
from defender_detect.evaluate.targets import UNREGISTERED, arn_of_profile, arn_of_target, name_target

OF_AWS = "arn:aws:iot:eu-west-1:123456789012:"
IN_CHINA, GOVERNMENTS = "arn:aws-cn:iot:cn-north-1:123456789012:", "arn:aws-us-gov:iot:us-gov-west-1:123456789012:"


@pytest.mark.parametrize("begin", [OF_AWS, IN_CHINA, GOVERNMENTS])
def test_awss_names_are_known_in_each_partition(begin: str) -> None:
    assert ALL_THINGS == name_target(f"{begin}all/things") == name_target(f"{begin}all/registered-things")
    assert UNREGISTERED == name_target(f"{begin}all/unregistered-things")
    assert "gateways" == name_target(f"{begin}thinggroup/gateways")


@pytest.mark.parametrize(
    "name", [ALL_THINGS, UNREGISTERED, "gateways", "a:b_c-d", "things", "thinggroup", "all/things"]
)
def test_a_name_becomes_an_arn_and_the_same_name_again(name: str) -> None:
    assert arn_of_target(name).startswith("arn:aws:iot:local:000000000000:")
    assert name == name_target(arn_of_target(name))
    assert name == name_target(name)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "arn:aws:iot",
        "arn:aws:iot:eu-west-1:123456789012:thinggroup/",
        "arn:aws:iot:eu-west-1:12345678901:thinggroup/gateways",
        "arn:aws:iot:eu-west-1:1234567890123:all/things",
        "arn:aws:sns:eu-west-1:123456789012:thinggroup/gateways",
        "arn:aws:iot:eu-west-1:123456789012:thing/gateways",
        "ARN:AWS:IOT:EU-WEST-1:123456789012:ALL/THINGS",
        "arn:aws:iot:eu-west-1:123456789012:all/things ",
        "arn:aws:iot:eu-west-1:123456789012:all/things\n",
        "x arn:aws:iot:eu-west-1:123456789012:all/things",
    ],
)
def test_what_is_no_targets_arn_is_a_name_of_its_own_and_so_nobodys(target: str) -> None:
    assert target == name_target(target)


def test_all_things_and_nobody_are_told_apart() -> None:
    assert arn_of_target(ALL_THINGS).endswith(":all/things")
    assert arn_of_target(UNREGISTERED).endswith(":all/unregistered-things")
    assert len({arn_of_target(each) for each in (ALL_THINGS, UNREGISTERED, "things")}) == 3


def test_a_profile_has_an_arn_too() -> None:
    assert "arn:aws:iot:local:000000000000:securityprofile/p" == arn_of_profile("p")
