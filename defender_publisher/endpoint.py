"""The endpoint: what its name says of the broker there: AWS IoT's or one's own, and in which region."""

from __future__ import annotations

import re

# AWS's partitions: the world and GovCloud, China (Beijing and Ningxia), and the European Sovereign Cloud.
AMAZON = re.compile(r"\.amazonaws\.(com|com\.cn|eu)$", re.IGNORECASE)
OF_IOT = re.compile(
    r"^(?P<account>[a-z0-9-]+)(?P<ats>\.ats)?\.(?P<service>iot|iot-fips)\.(?P<region>[a-z0-9-]+)\.amazonaws\.(com|com\.cn|eu)$",
    re.IGNORECASE,
)
CHINA = (
    "cn-"  # how its regions begin; the data endpoint there is ACCOUNT.ats.iot.REGION..., or without .ats in old ones
)


def is_aws(host: str) -> bool:
    """Return whether the name is one of Amazon's."""
    return AMAZON.search(host) is not None


def region_of(host: str) -> str | None:
    """Return the region of an endpoint of AWS IoT, None for any other name."""
    found = OF_IOT.match(host)
    return found["region"] if found else None


def is_data_endpoint(host: str) -> bool:
    """Return whether devices connect to this name at AWS, where Amazon's roots vouch for its certificate."""
    found = OF_IOT.match(host)
    if found is None:
        return False
    ats = found["account"].lower().endswith("-ats") or found["ats"] is not None
    return ats or found["service"] == "iot-fips" or found["region"].startswith(CHINA)


def service_at(host: str) -> str:
    """Return who accepts reports there, as a sentence has it."""
    return "AWS IoT Device Defender" if is_aws(host) else host
