"""The job on real clusters of Apache Flink, on loopback: `make test-flink`."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from defender_detect.evaluate.rules import Rules
from demo.flink.cluster import PYTHON, Cluster, ClusterError
from demo.flink.reports import make_document, make_percentile_profile, make_profile, make_record, make_records
from demo.flink.scene import Scene
from demo.flink.single import evaluate, in_order
from tests.detect.evaluate.golden import Fleet, after, before, by_detector
from tests.detect.evaluate.golden import digest as digest_of
from tests.detect.evaluate.golden import in_order as in_golden_order
from tests.detect.evaluate.test_golden import PINNED, SIZES
from tests.detect.flink.fleet import halves, records_of, said, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # a JVM that starts cold on a busy machine takes its time
    pytest.mark.skipif(not PYTHON.exists(), reason="Apache Flink is not installed; run: make install-flink"),
]
SIZE = "whole"  # of the golden list
HELD_BACK = 20.0  # seconds that the watermark is behind the latest record


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A JobManager and two TaskManagers."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        running.start(2)
        yield running


def document_of(rules: Rules, since: float = 0.0) -> str:
    return json.dumps({**json.loads(rules.to_json()), "since": since})


def is_back(cluster: Cluster, job: str, kills: int) -> bool:
    return cluster.state_of(job) == "RUNNING" and cluster.restored(job) >= kills


def wait_until_taken(cluster: Cluster, job: str, number: int) -> None:
    cluster.wait_for(lambda: cluster.taken_by(job, "evaluate") >= number, f"{number} records")


def test_two_workers_raise_the_alarms_of_the_golden_list_over_a_savepoint_and_with_other_profiles(
    cluster: Cluster, tmp_path: Path
) -> None:
    fleet = Fleet(*SIZES[SIZE])
    early, late = halves(fleet)
    scene = Scene(tmp_path, document_of(before(fleet.things)), checkpoint_seconds="2", minimum_interval="0")
    scene.add(scene.records, "1.jsonl", early)
    job = cluster.submit(scene.properties(is_watched=True), parallelism=2)
    scene.let_pass(cluster, fleet.changed + HELD_BACK)
    savepoint = cluster.stop_with_savepoint(job)
    scene.write_rules(document_of(after(fleet.things), fleet.changed))
    scene.add(scene.records, "2.jsonl", late)
    job = cluster.submit(scene.properties(is_watched=True), savepoint, parallelism=2)
    scene.let_pass(cluster, fleet.end + HELD_BACK)
    cluster.stop_with_savepoint(job, drain=True)
    events = list(by_detector(fleet))
    assert json.loads(PINNED.read_text())[SIZE] == digest_of(in_golden_order(events))
    assert said(events) == until(scene.alarms(), fleet.end)


def test_rules_that_come_while_it_runs_hold_for_what_comes_then_and_invalid_ones_change_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    first, second = make_document(make_profile()), make_document(make_profile(most_bytes=4_000_000))
    records = list(make_records(60, 8))
    middle = len(records) // 2
    changed = json.loads(records[middle])["t"] / 1000
    second = json.dumps({**json.loads(second), "since": changed})
    scene = Scene(tmp_path, first, percentiles="off")
    wrong = json.dumps({"attachments": [{"profile": {"securityProfileName": "no one", "behaviors": [{}]}}]})
    scene.add(scene.updates, "1.json", [wrong])
    scene.add(scene.records, "1.jsonl", records[:middle])
    job = cluster.submit(scene.properties(is_watched=True))
    wait_until_taken(cluster, job, middle + 1)  # with the rules that it was started with
    scene.add(scene.updates, "2.json", [second])
    wait_until_taken(cluster, job, middle + 2)
    scene.add(scene.records, "2.jsonl", records[middle:])
    wait_until_taken(cluster, job, len(records) + 2)
    cluster.stop_with_savepoint(job, drain=True)
    expected = in_order(evaluate(records, [(0.0, first), (changed, second)]))
    assert expected != in_order(evaluate(records, [(0.0, first)]))
    assert expected == scene.alarms()
    (refused,) = scene.refused()
    assert "InvalidRules" == refused["code"]
    assert "behaviors[0].name is missing" in refused["reason"]


def test_poisoned_late_and_repeated_records_are_refused_with_reason_and_count_and_change_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    records = list(make_records(50, 3))
    latest = json.loads(records[-1])["t"] / 1000
    odd = [
        *("not JSON", '{"thing": "x"}', '{"thing": "x", "t": 1790000000000, "payload": "***"}', "[]"),
        make_record("x", latest, b"no report"),
        records[-1],  # the same again
        json.dumps({**json.loads(records[-1]), "t": round((latest + 5) * 1000)}),  # too soon
        records[0],  # after two later ones
    ]
    document = make_document(make_profile())
    scene = Scene(tmp_path, document, percentiles="off")
    scene.add(scene.records, "1.jsonl", [*records, *odd])
    cluster.wait_until_done(cluster.submit(scene.properties()))
    assert in_order(evaluate(records, [(0.0, document)])) == scene.alarms()
    codes = {
        "NoEnvelope": 2,
        "BadTime": 1,
        "BadBase64": 1,
        "InvalidPayload": 1,
        "Redelivered": 1,
        "Throttled": 1,
        "Late": 1,
    }
    assert codes == Counter(each["code"] for each in scene.refused())
    assert {1, 2} == {each["count"] for each in scene.refused() if each["code"] == "NoEnvelope"}


def test_process_mode_raises_the_same_alarms(cluster: Cluster, tmp_path: Path) -> None:
    document, records = make_document(make_profile(), make_percentile_profile()), list(make_records(100, 5))
    scene = Scene(tmp_path, document, execution_mode="process")
    scene.add(scene.records, "1.jsonl", records)
    cluster.wait_until_done(cluster.submit(scene.properties(), parallelism=2))
    assert in_order(evaluate(records, [(0.0, document)])) == scene.alarms()


def test_a_connector_whose_jar_is_missing_is_a_sentence(cluster: Cluster, tmp_path: Path) -> None:
    scene = Scene(tmp_path, make_document(make_profile()))
    path = scene.properties()
    groups = json.loads(path.read_text())
    groups[1] = {"PropertyGroupId": "source.kafka", "PropertyMap": {"bootstrap_servers": "127.0.0.1:1", "topic": "r"}}
    path.write_text(json.dumps(groups))
    with pytest.raises(ClusterError, match="Kafka needs flink-sql-connector-kafka-VERSION.jar"):
        cluster.submit(path)


@pytest.mark.parametrize("who", ["three TaskManagers", "the JobManager"])
def test_a_kill_at_a_random_moment_changes_no_alarm(who: str, tmp_path: Path) -> None:
    fleet = Fleet(*SIZES[SIZE])
    fleet.lines = [line for line in fleet.lines if line.time < fleet.changed]
    document = document_of(before(fleet.things))
    scene = Scene(tmp_path, document, checkpoint_seconds="1")
    records = records_of(fleet.lines)
    scene.add(scene.records, "1.jsonl", records)
    chance = random.Random()
    with Cluster(tmp_path, stands_by=who == "the JobManager") as cluster:
        cluster.start(2)
        job = cluster.submit(scene.properties(is_watched=True))
        for kills in range(1 if who == "the JobManager" else 3):
            cluster.wait_for(partial(is_back, cluster, job, kills), "the job")
            time.sleep(chance.uniform(0, 2))  # all records take some seconds, so that most kills are in their midst
            if who == "the JobManager":
                cluster.kill_leader()
            else:
                cluster.kill_worker(job)
            cluster.wait_for(partial(is_back, cluster, job, kills + 1), "a restart")
        scene.let_pass(cluster, fleet.changed)
        cluster.stop_with_savepoint(job, drain=True)
    assert in_order(evaluate(records, [(0.0, document)])) == scene.alarms()
