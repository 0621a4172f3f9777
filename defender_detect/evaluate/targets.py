"""Targets: what a security profile is for, by our names and by AWS's ARNs."""

from __future__ import annotations

import re

from defender_detect.evaluate.detector import ALL_THINGS

MOST_PER_TARGET = 5  # profiles; AWS's limit
ARN = "arn:aws:iot:local:000000000000:"  # what begins the ARNs that we give: there is no region and no account
GROUP_ARN = re.compile(r"arn:[a-z-]+:iot:[a-z0-9-]+:[0-9]{12}:thinggroup/(?P<group>.+)")
# Whoever reports here has a certificate in its name, and so nobody is what AWS calls unregistered.
UNREGISTERED = "all/unregistered-things"  # so that a profile for them is taken, and is for nobody
UNREGISTERED_ARN = re.compile(r"arn:[a-z-]+:iot:[a-z0-9-]+:[0-9]{12}:all/unregistered-things")
ALL_ARN = re.compile(r"arn:[a-z-]+:iot:[a-z0-9-]+:[0-9]{12}:all/(registered-)?things")


def name_target(target: str) -> str:
    """Return the name that a target has here: AttachSecurityProfile's ARNs are taken, too."""
    if ALL_ARN.fullmatch(target):
        return ALL_THINGS
    if UNREGISTERED_ARN.fullmatch(target):
        return UNREGISTERED
    group = GROUP_ARN.fullmatch(target)
    return group["group"] if group else target


def arn_of_target(name: str) -> str:
    """Return the ARN of a target."""
    if name in (ALL_THINGS, UNREGISTERED):
        return f"{ARN}{'all/things' if name == ALL_THINGS else UNREGISTERED}"
    return f"{ARN}thinggroup/{name}"


def arn_of_profile(name: str) -> str:
    """Return the ARN of a security profile."""
    return f"{ARN}securityprofile/{name}"
