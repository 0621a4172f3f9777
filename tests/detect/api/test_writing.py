"""A profile that boto3 writes is one that Detect evaluates, where AWS's rules and the operator's files allow it."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("boto3")
pytest.importorskip("paho.mqtt")

from botocore.exceptions import ClientError

from defender_detect import daemon
from defender_detect.attachments import find_rules
from defender_detect.config import Config
from defender_detect.config_file import read_config
from defender_detect.errors import ConfigError, StoreError
from defender_detect.showing import RememberedRules
from defender_detect.store.documents import PROFILES, Documents
from defender_detect.store.store import Store
from tests.detect.api.conftest import KEY, PORTS, SECRET, Connect
from tests.detect.api.test_operations import fault_of

BEHAVIORS = [{"name": "tcp", "metric": "aws:listening-tcp-ports", "criteria": PORTS}]
ALL = "arn:aws:iot:eu-west-1:123456789012:all/things"
GATEWAYS = "arn:aws:iot:eu-west-1:123456789012:thinggroup/gateways"


@pytest.fixture
def read(tmp_path: Path) -> Callable[[], Config]:
    """Reads a configuration with one profile in a file and one group."""
    Store(tmp_path / "state").close()
    (tmp_path / "file.json").write_text(json.dumps({"securityProfileName": "of-a-file", "behaviors": BEHAVIORS}))
    (tmp_path / "groups.json").write_text(json.dumps({"gateways": ["t1"]}))
    detect = {"profiles": ["file.json"], "thing_groups": "groups.json"}
    (tmp_path / "detect.json").write_text(json.dumps({"agent": {"state_directory": "state"}, "detect": detect}))
    return lambda: read_config(tmp_path / "detect.json", {})


@pytest.fixture
def client(tmp_path: Path, read: Callable[[], Config], connect: Connect) -> Any:
    """boto3, with a key."""
    rules = RememberedRules(read)
    return connect(tmp_path / "state", {KEY: SECRET}, rules=rules, refresh=rules.refresh)


def names_of(read: Callable[[], Config], thing: str) -> list[str]:
    """The behaviors that Detect evaluates for a thing."""
    return list(find_rules(read()).of(thing).names)


def test_a_profile_is_created_attached_updated_detached_and_deleted(client: Any, read: Callable[[], Config]) -> None:
    created = client.create_security_profile(
        securityProfileName="new", behaviors=BEHAVIORS, securityProfileDescription="ours", tags=[{"Key": "k"}]
    )
    assert "new" == created["securityProfileName"]
    assert ["of-a-file/tcp"] == names_of(read, "t1")  # it is attached to nothing yet
    client.attach_security_profile(securityProfileName="new", securityProfileTargetArn=GATEWAYS)
    assert (["new/tcp", "of-a-file/tcp"], ["of-a-file/tcp"]) == (names_of(read, "t1"), names_of(read, "t2"))
    client.attach_security_profile(securityProfileName="new", securityProfileTargetArn=ALL)
    assert 2 == len(client.list_targets_for_security_profile(securityProfileName="new")["securityProfileTargets"])
    assert ["new/tcp", "of-a-file/tcp"] == names_of(read, "t2")

    described = client.describe_security_profile(securityProfileName="new")
    assert (1, BEHAVIORS, "ours") == (
        described["version"], described["behaviors"], described["securityProfileDescription"]
    )  # fmt: skip
    other = [{**BEHAVIORS[0], "name": "renamed"}]
    updated = client.update_security_profile(securityProfileName="new", behaviors=other, expectedVersion=1)
    assert (2, other, "ours") == (
        updated["version"], updated["behaviors"], updated["securityProfileDescription"]
    )  # fmt: skip
    assert updated["creationDate"] <= updated["lastModifiedDate"]
    assert "new/renamed" in names_of(read, "t2")
    client.update_security_profile(securityProfileName="new", deleteBehaviors=True)
    assert ["of-a-file/tcp"] == names_of(read, "t1")

    client.detach_security_profile(securityProfileName="new", securityProfileTargetArn=ALL)
    (left,) = client.list_targets_for_security_profile(securityProfileName="new")["securityProfileTargets"]
    assert left["arn"].endswith(":thinggroup/gateways")
    client.delete_security_profile(securityProfileName="new", expectedVersion=3)
    client.delete_security_profile(securityProfileName="new")  # as AWS: it may be gone already
    listed = client.list_security_profiles()["securityProfileIdentifiers"]
    assert ["of-a-file"] == [each["name"] for each in listed]


def test_what_may_not_be_written_is_refused_by_awss_names(client: Any) -> None:
    client.create_security_profile(securityProfileName="new", behaviors=BEHAVIORS)
    criteria = {"comparisonOperator": "less-than", "value": {"count": 5}, "durationSeconds": 301}
    wrong = [{"name": "b", "metric": "aws:all-bytes-out", "criteria": criteria}]
    target = {"securityProfileTargetArn": "arn:aws:iot:eu-west-1:123456789012:thinggroup/nowhere"}
    create, update = client.create_security_profile, client.update_security_profile
    attach, delete = client.attach_security_profile, client.delete_security_profile
    exists, invalid = ("ResourceAlreadyExistsException", 409), ("InvalidRequestException", 400)
    not_found, conflict = ("ResourceNotFoundException", 404), ("VersionConflictException", 409)
    refused = [
        (create, {"securityProfileName": "new"}, exists),
        (create, {"securityProfileName": "of-a-file"}, exists),
        (create, {"securityProfileName": "w", "behaviors": wrong}, invalid),
        (update, {"securityProfileName": "new", "behaviors": wrong}, invalid),
        (update, {"securityProfileName": "nope"}, not_found),
        (update, {"securityProfileName": "of-a-file"}, invalid),
        (update, {"securityProfileName": "new", "expectedVersion": 7}, conflict),
        (delete, {"securityProfileName": "of-a-file"}, invalid),
        (attach, {"securityProfileName": "new", **target}, not_found),
        (attach, {"securityProfileName": "of-a-file", "securityProfileTargetArn": ALL}, invalid),
    ]
    for call, arguments, expected in refused:
        with pytest.raises(ClientError) as raised:
            call(**arguments)
        assert expected == fault_of(raised.value), (arguments, raised.value)
    assert BEHAVIORS == client.describe_security_profile(securityProfileName="new")["behaviors"]


def test_a_target_has_at_most_five_profiles(client: Any, read: Callable[[], Config]) -> None:
    for number in range(6):
        client.create_security_profile(securityProfileName=f"p{number}", behaviors=BEHAVIORS)
    for number in range(4):
        client.attach_security_profile(securityProfileName=f"p{number}", securityProfileTargetArn=ALL)
    with pytest.raises(client.exceptions.LimitExceededException, match="5 security profiles already"):
        client.attach_security_profile(securityProfileName="p4", securityProfileTargetArn=ALL)
    assert 5 == len(names_of(read, "t9"))


def test_without_a_key_nothing_is_written_on_this_machine_either(
    tmp_path: Path, read: Callable[[], Config], connect: Connect
) -> None:
    client = connect(tmp_path / "state", rules=lambda: find_rules(read()))
    assert client.list_security_profiles()["securityProfileIdentifiers"]
    with pytest.raises(ClientError) as raised:
        client.create_security_profile(securityProfileName="new", behaviors=BEHAVIORS)
    assert ("UnauthorizedException", 403) == fault_of(raised.value)
    assert [] == Documents(tmp_path / "state").read()


def test_what_was_written_is_for_its_owner_only(client: Any, tmp_path: Path) -> None:
    client.create_security_profile(securityProfileName="a:b_c-d", behaviors=BEHAVIORS)
    directory = tmp_path / "state" / PROFILES
    (file,) = directory.glob("*.json")
    assert [0o700, 0o600] == [stat.S_IMODE(each.stat().st_mode) for each in (directory, file)]


def test_a_file_that_somebody_damaged_is_named(tmp_path: Path, client: Any, read: Callable[[], Config]) -> None:
    client.create_security_profile(securityProfileName="new", behaviors=BEHAVIORS)
    path = tmp_path / "state" / PROFILES / "new.json"
    written = json.loads(path.read_text())
    path.write_text(json.dumps({**written, "document": {**written["document"], "behaviors": 5}}))
    with pytest.raises(ConfigError, match="new, written by the API: behaviors must be"):
        find_rules(read())
    path.write_text("{")
    with pytest.raises(StoreError, match=r"new\.json cannot be read, move it away"):
        find_rules(read())
    with pytest.raises(ClientError) as raised:
        client.describe_security_profile(securityProfileName="new")
    assert ("InternalFailureException", 500) == fault_of(raised.value)


class Turns:
    """A mailbox with no letters, which lets something happen at each turn."""

    def __init__(self, *happenings: Callable[[], object]) -> None:
        self._happenings = list(happenings)

    def wait(self, timeout: float) -> int | None:
        if not self._happenings:
            return 15
        self._happenings.pop(0)()
        return None


class Quiet:
    """A pulse that tells nobody."""

    every = 0.0

    def beat(self) -> None:
        pass


class Listening:
    """A service that remembers which behaviors it went on with."""

    def __init__(self) -> None:
        self.names: list[list[str]] = []

    def reload(self, rules: Any, now: float) -> None:
        self.names.append(list(rules.of("t1").names))


def test_detect_continues_with_what_was_written_at_its_next_turn(
    client: Any, read: Callable[[], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "TURN", 0.0)
    service = Listening()
    attached = {"securityProfileName": "new", "securityProfileTargetArn": ALL}

    def write() -> None:
        client.create_security_profile(securityProfileName="new", behaviors=BEHAVIORS)
        client.attach_security_profile(**attached)

    turns = Turns(lambda: None, write, lambda: None, lambda: client.detach_security_profile(**attached), lambda: None)
    written = daemon.WrittenProfiles(read(), lambda: daemon.reload(service, read))  # type: ignore[arg-type]
    daemon.watch(turns, Quiet(), lambda: None, [written.look])  # type: ignore[arg-type]
    assert [["new/tcp", "of-a-file/tcp"], ["of-a-file/tcp"]] == service.names
