from __future__ import annotations

import re

import pytest

from tests.infrastructure.deployer import skip_without

skip_without()

from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.names import Names  # noqa: E402

LONGEST = "x" * 100


def test_names_follow_from_the_prefix() -> None:
    names = Names("lab")
    assert ("lab-fleet", "lab-things-7", "lab-detect") == (names.fleet_stack, names.things_stack(7), names.detect_stack)
    assert ("lab", "lab", "lab-alerts") == (names.policy, names.group, names.topic)


@pytest.mark.parametrize(("prefix", "expected"), [("amazon-defender-publisher", "ports"), ("lab", "lab-ports")])
def test_only_a_second_fleets_profiles_have_its_prefix(prefix: str, expected: str) -> None:
    assert expected == Names(prefix).profile("ports")


@pytest.mark.parametrize("number", [1, 10, 9999])
def test_a_stack_of_things_is_known_by_its_name(number: int) -> None:
    assert number == Names("lab").things_stack_number(Names("lab").things_stack(number))


@pytest.mark.parametrize(
    "name",
    [
        "lab-things-0",
        "lab-things-01",
        "lab-things-10000",
        "lab-things-",
        "lab-things-1-old",
        "lab-things-\u0661",
        "lab-fleet",
        "lab-detect",
        "lab2-things-1",
        "x-lab-things-1",
        "1",
    ],
)
def test_other_stacks_are_none_of_things(name: str) -> None:
    assert Names("lab").things_stack_number(name) is None


@pytest.mark.parametrize("prefix", ["lab", "L", "lab-2", LONGEST])
def test_a_prefix_begins_with_a_letter(prefix: str) -> None:
    assert prefix == Names(prefix).prefix


@pytest.mark.parametrize("prefix", ["", "2lab", "-lab", "la_b", "la b", "lab\n", "\u00e4b", LONGEST + "x"])
def test_another_prefix_is_refused_with_the_rule(prefix: str) -> None:
    expected = f"--prefix must begin with a letter, and have at most 100 letters, digits and hyphens, got {prefix!r}"
    with pytest.raises(DeployError) as raised:
        Names(prefix)
    assert expected == str(raised.value)


def test_the_longest_stack_name_is_within_cloudformations_limit() -> None:
    assert len(Names(LONGEST).things_stack(9999)) <= 128


def test_a_bucket_is_named_as_s3_wants_it_and_no_two_fleets_share_one() -> None:
    prefixes = ("amazon-defender-publisher", "Lab", "lab", "n" * 100, "n" * 99, "a-")
    names = [Names(prefix).bucket("123456789012", "ap-southeast-2") for prefix in prefixes]
    assert "amazon-defender-publisher-123456789012-ap-southeast-2" == names[0]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch("[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", name), name


def test_stacks_of_log_groups_are_told_by_their_numbers() -> None:
    names = Names("lab")
    found = [names.logs_stack_number(name) for name in ("lab-logs-12", "lab-logs-0", "lab-logs-x", "other-logs-1")]
    assert [12, None, None, None] == found


@pytest.mark.parametrize("prefix", ["lab", "amazon-defender-publisher", "x" * 29, "x" * 30, LONGEST])
def test_a_template_has_a_name_that_aws_takes(prefix: str) -> None:
    names = Names(prefix)
    for name in (names.template, names.rotation_template):
        assert re.fullmatch("[0-9A-Za-z_-]{1,36}", name)
    assert (names.template == prefix) == (len(prefix) <= 29)
    assert f"{names.template}-rotate" == names.rotation_template
    assert re.fullmatch("[a-zA-Z0-9_]{1,128}", names.rotation_rule)


def test_long_prefixes_that_begin_alike_have_different_templates() -> None:
    assert Names("x" * 40 + "a").template != Names("x" * 40 + "b").template


def test_the_engines_bucket_has_a_name_that_s3_takes_and_no_other_fleet_has() -> None:
    prefixes = ("lab", "Lab", "n" * 100, "n" * 99 + "m", "a-", "amazon-defender-publisher")
    found = [Names(prefix).engine_bucket("123456789012", "ap-southeast-1") for prefix in prefixes]
    assert len(prefixes) == len(set(found))
    assert all(re.fullmatch("[a-z][a-z0-9-]{2,62}", name) and "--" not in name for name in found)
    assert not {*found} & {Names(prefix).bucket("123456789012", "ap-southeast-1") for prefix in prefixes}
    assert "lab_two_engine" == Names("lab-two").engine_rule
