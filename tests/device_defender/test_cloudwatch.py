"""Names that CloudWatch takes, and none that it does not."""

from __future__ import annotations

import pytest

from device_defender.cloudwatch import GROUP, RETENTIONS, ROLE_ALIAS, STREAM, fill_in, is_namespace


@pytest.mark.parametrize(
    ("name", "expected"),
    [("System/Pi", True), ("a.b-c#1", True), ("AWS/EC2", False), ("", False), ("x" * 256, False), ("caf\xe9", False)],
)
def test_a_namespace_is_one_that_takes_metrics(name: str, expected: bool) -> None:
    assert expected == is_namespace(name)


def test_what_a_stream_may_not_have_in_it_is_replaced_when_braces_are_filled_in() -> None:
    names = {"instance_id": "lab:A_1", "hostname": "pi"}
    assert "/fleet/lab-A_1/pi" == fill_in("/fleet/{instance_id}/{hostname}", names)
    assert STREAM.fullmatch(fill_in("{instance_id}", names))
    with pytest.raises(KeyError, match="other"):
        fill_in("{other}", names)


def test_groups_streams_and_role_aliases_have_awss_characters() -> None:
    assert GROUP.fullmatch("/system/pi.1#x")
    assert not GROUP.fullmatch("a b")
    assert not STREAM.fullmatch("a:b")
    assert not STREAM.fullmatch("a*b")
    assert ROLE_ALIAS.fullmatch("fleet=1,@x")
    assert not ROLE_ALIAS.fullmatch("a/b")
    assert list(RETENTIONS) == sorted(set(RETENTIONS))
