"""Whose word ends the certificates from before: who said over a connection with the new one that it has it."""

from __future__ import annotations

import logging

import pytest

from tests.infrastructure.deployer import skip_without
from tests.infrastructure.functions.cloud import USER, Cloud, load

skip_without("boto3")


def commit(thing: str, principal: str, said: str | None) -> None:
    load("rotation_commit").handler({"thing": thing, "principal": principal, "certificateId": said}, None)


@pytest.mark.parametrize(
    ("thing", "principal", "said", "ended"),
    [
        ("dev-1", "new", "new", ["old"]),
        ("dev-1", "old", "new", []),  # said over the old connection: nobody knows yet that the new one is let in
        ("dev-1", "new", "old", []),
        ("dev-1", "new", None, []),
        ("dev-1", "other", "other", []),  # another thing's certificate
        ("bundled", "second", "second", []),  # no thing of the fleet
    ],
)
def test_only_who_connects_with_the_new_certificate_ends_the_others(
    cloud: Cloud, thing: str, principal: str, said: str | None, ended: list[str]
) -> None:
    commit(thing, principal, said)
    assert ended == cloud.inactive


def test_all_the_others_end_and_each_is_noted(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    cloud.things["dev-1"] = ["c", "new", "a", "b"]
    with caplog.at_level(logging.WARNING):
        commit("dev-1", "new", "new")
    assert ["a", "b", "c"] == cloud.inactive
    assert [f"dev-1: {each} is INACTIVE, replaced by new" for each in "abc"] == caplog.messages


def test_what_is_attached_and_no_certificate_is_left_alone(cloud: Cloud) -> None:
    cloud.users = [USER]
    commit("dev-1", "new", "new")
    assert ["old"] == cloud.inactive


def test_a_device_with_one_certificate_says_so_and_nothing_ends(cloud: Cloud) -> None:
    commit("dev-2", "other", "other")
    assert [] == cloud.inactive


def test_what_is_not_believed_is_noted_on_one_line(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        commit("dev-1", "new", "x\nroot: all is well\x1b[2J")
    (line,) = caplog.messages
    assert line.startswith("ignored {'thing': 'dev-1'")
    assert line.isprintable()
