"""Whether a configuration can be served: everything that is missing is said, with its option and its key."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("paho.mqtt")

from defender_detect.checking import check, check_endpoint, check_shard, find_credentials
from defender_detect.config import Agent, Authentication, Config
from defender_detect.errors import DetectError

FILES = {"root_ca": "ca.pem", "certificate": "detect.pem", "private_key": "detect.key"}
SHARDED = "reports/{shard:3}/{thing_name}"


def config_of(authentication: dict[str, Any], **agent: Any) -> Config:
    return Config(agent=Agent(authentication=Authentication(**authentication), **agent))


def test_each_file_that_is_missing_is_named_with_its_option_and_its_key() -> None:
    with pytest.raises(DetectError) as caught:
        check_endpoint(config_of({"endpoint": "broker.example", "certificate": "detect.pem"}))
    assert [
        "--root-ca is missing (agent.authentication.root_ca)",
        "--private-key is missing (agent.authentication.private_key)",
    ] == str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("authentication", "agent", "says"),
    [
        (FILES, {}, "--endpoint is missing .*; to run the built-in broker: --embedded-broker"),
        ({**FILES, "endpoint": "b", "port": 0}, {}, "--port must be from 1 to 65535, got 0"),
        (FILES, {"embedded_broker": True, "topic": "r/{thing_name}"}, "agent.topic needs a broker of your own"),
    ],
)
def test_what_cannot_be_served_is_a_sentence(authentication: dict[str, Any], agent: dict[str, Any], says: str) -> None:
    with pytest.raises(DetectError, match=says):
        check_endpoint(config_of(authentication, **agent))


def test_the_built_in_broker_needs_no_endpoint_and_may_take_any_port() -> None:
    check_endpoint(config_of({**FILES, "port": 0}, embedded_broker=True))


def test_of_several_shards_one_must_be_chosen_to_serve_and_none_to_be_checked() -> None:
    config = config_of(FILES, topic=SHARDED)
    with pytest.raises(DetectError, match=r"--shard is missing \(agent.shard\): agent.topic has 3 shards, .* 0 to 2"):
        check_shard(config)
    check_shard(config_of(FILES, topic=SHARDED, shard=2))
    check_shard(config_of(FILES))
    says = [f"reports arrive on {SHARDED}, all of 3", "nothing is kept: no state directory"]
    assert says == list(check(config, whole=False))


def test_credentials_are_the_files_of_the_configuration() -> None:
    found = find_credentials(config_of(FILES))
    assert FILES == {key: str(getattr(found, key)) for key in FILES}
