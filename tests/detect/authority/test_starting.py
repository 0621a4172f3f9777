"""The profiles that a Detect of one's own begins with are the shipped ones, and raise no alarm at a plain machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from defender_detect.authority.starting import STARTING_PROFILES
from defender_detect.profiles import parse_profile

ROOT = Path(__file__).resolve().parent.parent.parent.parent


@pytest.mark.parametrize("profile", STARTING_PROFILES, ids=lambda profile: profile["securityProfileName"])
def test_a_starting_profile_is_a_shipped_one(profile):
    shipped = ROOT / "configs" / "security-profiles" / f"{profile['securityProfileName']}.json"
    assert json.loads(shipped.read_text()) == profile


def test_the_only_alarm_of_the_start_is_silence():
    behaviors = [behavior for profile in STARTING_PROFILES for behavior in parse_profile(profile).behaviors]
    assert [each.metric for each in behaviors] == ["aws:disconnect-duration"]
