"""An endpoint's name tells AWS IoT from a broker of one's own, in every partition."""

from __future__ import annotations

import pytest

from defender_publisher.endpoint import is_aws, is_data_endpoint, region_of, service_at


@pytest.mark.parametrize(
    ("host", "region", "data"),
    [
        ("a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com", "eu-west-1", True),
        ("A1B2C3D4E5F6G7-ATS.iot.eu-west-1.amazonaws.com", "eu-west-1", True),
        (
            "a1b2c3d4e5f6g7.ats.iot.cn-north-1.amazonaws.com.cn",
            "cn-north-1",
            True,
        ),  # Beijing, as describe-endpoint has it
        ("a1b2c3d4e5f6g7.iot.cn-north-1.amazonaws.com.cn", "cn-north-1", True),
        ("a1b2c3d4e5f6g7.ats.iot.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1", True),
        ("a1b2c3d4e5f6g7-ats.iot.us-gov-west-1.amazonaws.com", "us-gov-west-1", True),
        ("data.iot-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", True),
        ("a1b2c3d4e5f6g7-ats.iot.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", True),
        ("a1b2c3d4e5f6g7.iot.eu-west-1.amazonaws.com", "eu-west-1", False),  # VeriSign's root, not Amazon's
        ("a1b2c3.credentials.iot.eu-west-1.amazonaws.com", None, False),
        ("iot.eu-west-1.amazonaws.com", None, False),
    ],
)
def test_a_name_of_amazons_tells_its_region_and_whether_devices_connect_there(
    host: str, region: str | None, data: bool
) -> None:
    assert (True, region, data) == (is_aws(host), region_of(host), is_data_endpoint(host))


@pytest.mark.parametrize("host", ["broker.example.com", "localhost", "10.0.0.1", "amazonaws.com.evil.example", ""])
def test_any_other_name_is_a_broker_of_ones_own(host: str) -> None:
    assert (False, None, False) == (is_aws(host), region_of(host), is_data_endpoint(host))
    assert host == service_at(host)
