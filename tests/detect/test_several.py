"""Several Detects on one machine: questions, health and the doctor know all of them, and say which is which."""

from __future__ import annotations

import json
import re
import socket
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("paho.mqtt")

from defender_detect.checking import check_shard
from defender_detect.config import read_config
from defender_detect.errors import ConfigError, DetectError
from defender_detect.judge.topics import Topics
from defender_detect.receive.endpoint import Endpoint
from defender_detect.store.schema import DATABASE
from defender_detect.store.store import Store
from demo.authority import Authority
from device_defender.shards import shard_of, topic_of, with_shard
from tests.detect.receive.test_receiver import (
    HOST,
    MOSQUITTO,
    PATIENCE,
    Listening,
    Mosquitto,
    Thing,
    credentials_of,
    report,
)
from tests.detect.store.test_store import event
from tests.detect.test_doctor import Site
from tests.detect.test_script import run_here
from tests.ports import unused_port
from tests.waiting import wait_until

TOPIC, THINGS = "reports/{shard:3}/{thing_name}", [f"rpi-{number}" for number in range(6)]
WRONG_CONFIGURATION = 78
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "how-to" / "split-detect.md"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """What `init` made, with three shards; two of them know things, the third has never run."""
    site = Site(tmp_path)
    site.change("agent", topic=TOPIC, embedded_broker=False, state_directory="state")
    now = time.time() - 600
    for shard in range(2):
        with Store(site.state / str(shard)) as kept:
            for index, name in enumerate(THINGS):
                if index % 3 == shard:
                    when = now + 60 * index
                    kept.add(name, when, {"cpu_usage": index}, [event(thing=name, time=when)], report_id=index)
    yield site
    site.end()


def directories(site: Site) -> list[str]:
    return [word for shard in range(2) for word in ("--state-directory", str(site.state / str(shard)))]


@pytest.mark.parametrize("by_shards", [True, False])
def test_questions_are_answered_of_all_directories_in_one_order(site: Site, by_shards: bool) -> None:
    where = [str(site.directory.config)] if by_shards else directories(site)

    def ask(*words: str) -> Any:
        ended = run_here(*words, "--json", *where)
        missing = f"the answer is of 2 of 3 state directories:\nnothing is kept in {site.state / '2'}: "
        assert (int(by_shards), True) == (ended.returncode, ended.stderr.startswith(missing if by_shards else ""))
        assert by_shards or not ended.stderr
        return json.loads(ended.stdout)

    known = ["rpi-0", "rpi-1", "rpi-3", "rpi-4"]
    assert known == [each["thingName"] for each in ask("things")["things"]]
    assert known[::-1] == [each["thingName"] for each in ask("violations")["violationEvents"]]
    assert known == [each["thingName"] for each in ask("violations", "--active")["activeViolations"]]
    assert [4] == [each["value"]["number"] for each in ask("metrics", "rpi-4", "cpu_usage")["metricDatumList"]]


@pytest.mark.parametrize(
    ("question", "columns", "first"),
    [
        (["things"], "THING", "rpi-0"),
        (["violations", "--active"], "THING", "rpi-0"),
        (["violations"], "TIME", time.strftime("%Y")),
    ],
)
def test_tables_are_of_all_directories(site: Site, question: list[str], columns: str, first: str) -> None:
    ended = run_here(*question, *directories(site))
    lines = ended.stdout.splitlines()
    assert (0, "", 5) == (ended.returncode, ended.stderr, len(lines))
    assert (columns, first) == (lines[0].split()[0], lines[1].split()[0][: len(first)])


def test_one_shard_can_be_asked_alone_and_one_that_there_is_not_is_said(site: Site) -> None:
    config = str(site.directory.config)
    ended = run_here("things", "--shard", "1", "--json", config)
    assert ["rpi-1", "rpi-4"] == [each["thingName"] for each in json.loads(ended.stdout)["things"]]
    ended = run_here("things", "--shard", "3", config)
    says = "agent.shard (--shard) must be from 0 to 2, as agent.topic says, got 3\n"
    assert (WRONG_CONFIGURATION, True) == (ended.returncode, ended.stderr.endswith(says))
    ended = run_here("things", "--shard", "03", config)
    assert "argument --shard: must be a whole number from 0 on, without zeros before it, got 03" in ended.stderr


def test_a_name_that_no_directory_knows_is_a_sentence(site: Site) -> None:
    ended = run_here("violations", "--thing", "rpi-9", *directories(site))
    assert (WRONG_CONFIGURATION, "") == (ended.returncode, ended.stdout)
    assert "nothing is kept of the thing rpi-9: did you mean rpi-" in ended.stderr


def test_without_any_database_that_is_said_of_each(tmp_path: Path) -> None:
    words = [word for name in "ab" for word in ("--state-directory", str(tmp_path / name))]
    ended = run_here("things", *words)
    assert (WRONG_CONFIGURATION, "") == (ended.returncode, ended.stdout)
    assert [f"nothing is kept in {tmp_path / name}: " for name in "ab"] == [
        line.removeprefix("amazon-defender-detect: ").partition("amazon-")[0] for line in ended.stderr.splitlines()
    ]


def test_only_what_is_asked_about_can_be_several(site: Site) -> None:
    ended = run_here(*directories(site), str(site.directory.config))
    assert (WRONG_CONFIGURATION, True) == (ended.returncode, "--state-directory may be given once, or" in ended.stderr)


def test_the_status_is_that_of_each_and_the_exit_status_that_of_the_worst(site: Site) -> None:
    ended = run_here("status", str(site.directory.config))
    assert 3 == ended.returncode
    heads = [line for line in ended.stdout.splitlines() if line.startswith("shard ")]
    assert ["shard 0:", "shard 1:", "shard 2:"] == heads
    ended = run_here("status", "--json", *directories(site))
    assert [str(site.state / "0"), str(site.state / "1")] == [
        each["state_directory"] for each in json.loads(ended.stdout)
    ]


def test_a_directory_that_cannot_be_read_hides_nothing_of_the_others(site: Site) -> None:
    (site.state / "1" / DATABASE).write_bytes(b"no database" * 100)
    says = f"the answer is of 1 of 2 state directories:\nthe database {site.state / '1' / DATABASE} cannot be read: "
    ended = run_here("status", "--json", *directories(site))
    assert [str(site.state / "0")] == [each["state_directory"] for each in json.loads(ended.stdout)]
    assert (3, True) == (ended.returncode, ended.stderr.startswith(says))
    ended = run_here("metrics", "rpi-1", "cpu_usage", *directories(site))
    assert (WRONG_CONFIGURATION, True) == (ended.returncode, ended.stderr.startswith(says))
    assert "nothing is kept of the thing rpi-1" in ended.stderr


def test_a_directory_that_is_named_twice_counts_once(site: Site) -> None:
    same = ["--state-directory", str(site.state / "0"), "--state-directory", f"{site.state}/1/../0"]
    (thing, _) = json.loads(run_here("things", "--json", *same).stdout)["things"]
    assert ("rpi-0", 1) == (thing["thingName"], thing["activeViolations"])


def test_awss_api_answers_for_one_and_says_how_to_choose_it(site: Site) -> None:
    site.change("detect", api={"port": 0})
    ended = run_here("console", str(site.directory.config))
    says = f"detect.api answers for one Detect: give its state directory, --state-directory {site.state / '0'}\n"
    assert (WRONG_CONFIGURATION, True) == (ended.returncode, ended.stderr.endswith(says))


def test_the_doctor_says_once_what_they_have_in_common_and_of_each_what_is_its_own(site: Site) -> None:
    ended = run_here("doctor", "--json", str(site.directory.config))
    rungs = json.loads(ended.stdout)["rungs"]
    assert (1, 1) == (ended.returncode, sum(each["rung"] == "config" for each in rungs))
    running = [each["says"] for each in rungs if each["rung"] == "running"]
    assert [f"shard {shard}: Detect is not running" for shard in range(3)] == running


def test_a_support_bundle_has_the_health_of_each_and_why_a_status_cannot_be_had(site: Site, tmp_path: Path) -> None:
    ended = run_here("support-bundle", str(tmp_path / "b.tar.gz"), str(site.directory.config))
    assert 0 == ended.returncode, ended.stderr
    with tarfile.open(tmp_path / "b.tar.gz") as packed:
        found = {Path(each.name).name: packed.extractfile(each).read() for each in packed if each.isfile()}  # type: ignore[union-attr]
    names = [f"shard {shard}" for shard in range(3)]
    assert names == list(json.loads(found["health.json"])) == list(json.loads(found["status.json"]))
    assert "No such file" in json.loads(found["status.json"])["shard 2"]


def test_a_detect_without_its_shard_is_refused_with_what_to_do(site: Site) -> None:
    with pytest.raises(DetectError, match=r"--shard is missing \(agent.shard\): agent.topic has 3 shards"):
        check_shard(read_config(site.directory.config, {}))
    check_shard(read_config(site.directory.config, {"shard": 2}))
    checked = run_here("check", str(site.directory.config))
    assert (0, True) == (checked.returncode, "reports arrive on reports/{shard:3}/{thing_name}, all of 3" in
                         checked.stdout)  # fmt: skip


def test_a_shard_has_its_topic_and_its_state(site: Site) -> None:
    agent = read_config(site.directory.config, {"shard": 2}).agent
    assert ("reports/2/{thing_name}", str(site.state / "2")) == (agent.own_topic, agent.state_directory)
    assert ("reports/2/+",) == Topics(agent.own_topic).filters
    with pytest.raises(ConfigError, match="goes with an agent.topic that has"):
        read_config(None, {"shard": 2})


def test_a_recording_of_all_shards_is_read_by_the_topics_of_all(site: Site) -> None:
    topics = Topics(TOPIC)
    right = f"reports/{shard_of('rpi-1', 3)}/rpi-1"
    found = topics.parse(right, b"{}")
    assert (True, "rpi-1") == (found is not None, found.thing if found else "")
    assert topics.parse(f"reports/{(shard_of('rpi-1', 3) + 1) % 3}/rpi-1", b"{}") is None


ATTEMPTS = 5  # at a second port, which another program may take before mosquitto does
OF_A_LISTENER = ("cafile", "certfile", "keyfile", "require_certificate", "use_identity_as_username")
LISTENERS = """\
{own}
use_username_as_clientid true
listener {second} 127.0.0.1
{same}
"""


def listens(broker: Mosquitto, port: int) -> bool:
    """Wait until mosquitto listens on its other port, and tell whether it does, or has ended because it could not."""

    def is_open() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, port)) == 0

    wait_until(lambda: broker.process.poll() is not None or is_open())
    return broker.process.poll() is None


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[tuple[Mosquitto, Endpoint, Authority]]:
    """mosquitto as the page says: the things' listener takes the name for the client ID, the Detects' does not."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    authority = Authority(tmp_path / "ca")
    server = authority.issue("amazon-defender-detect", ["localhost", HOST])
    broker = Mosquitto(tmp_path, authority, server)
    broker.stop()
    (tmp_path / "acl").write_text(re.search(r"```\n(pattern .*?)```", PAGE.read_text(), re.DOTALL)[1])  # type: ignore[index]
    own = broker.config.read_text()
    same = "\n".join(line for line in own.splitlines() if line.partition(" ")[0] in OF_A_LISTENER)
    for _ in range(ATTEMPTS):
        second = unused_port()
        broker.config.write_text(LISTENERS.format(own=own, same=same, second=second))
        broker.start()
        if listens(broker, second):
            break
        broker.stop()
    else:
        pytest.fail("mosquitto did not get a second port")
    yield broker, Endpoint(HOST, second), authority
    broker.stop()


def test_two_detects_of_one_certificate_answer_the_things_of_their_shards(
    brokers: tuple[Mosquitto, Endpoint, Authority],
) -> None:
    broker, second, authority = brokers
    detect = credentials_of(authority, authority.issue("amazon-defender-detect"))
    topic = "reports/{shard:2}/{thing_name}"
    with ExitStack() as stack:
        several = [Listening(second, detect, topic=with_shard(topic, shard)) for shard in range(2)]
        for each in several:
            stack.enter_context(each)
            each.wait()
        for name in ("a", "rpi-1"):
            thing = Thing(broker.endpoint, credentials_of(authority, authority.issue(name)), name)
            its = topic_of(topic, name)
            assert thing.subscribe(f"{its}/+")
            thing.publish(report(7), its)
            assert "accepted" == thing.replies.get(timeout=PATIENCE)[0]
            thing.leave()
    assert {0, 1} == {shard_of(name, 2) for name in ("a", "rpi-1")}
