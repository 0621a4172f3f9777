"""The job's graph: what flows from where to where, each operator with the name that its state is kept under."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pyflink.common import Configuration, Duration, Types, WatermarkStrategy
from pyflink.datastream import CheckpointingMode, StreamExecutionEnvironment

from defender_detect.flink import lines
from defender_detect.flink.connectors import Times, make_sink, make_source, read_files
from defender_detect.flink.datapoints import share_of
from defender_detect.flink.deliveries import Delivery, Table, Topic
from defender_detect.flink.functions import (
    BROADCAST,
    Condense,
    Count,
    Deliver,
    Evaluate,
    Gate,
    Merge,
    Sample,
)  # fmt: skip
from defender_detect.flink.properties import Files, Job, Place, Properties, Sns
from defender_detect.flink.properties import Table as TableGroup
from defender_detect.flink.records import key_of
from defender_detect.flink.rules import Start
from defender_detect.flink.thresholds import OUT_OF_ORDER

IDLE = 60.0  # seconds after which a part of the stream that is silent holds up nobody's time any more
UPDATES_EVERY = 5.0  # seconds between two looks for new rules
LINES = Types.STRING()
SKETCHES = Types.TUPLE([Types.STRING(), Types.PICKLED_BYTE_ARRAY()])


def build(properties: Properties, start: Start) -> StreamExecutionEnvironment:
    """Return the environment of a job that is ready to be executed."""
    environment = open_environment(properties.job)
    reports = read_reports(environment, properties.source)
    updates = read_updates(environment, properties.job, start)
    rules = updates.filter(lambda line: line[0] == lines.RULES).name("rules in force")
    interval = float(properties.job.minimum_interval)
    told = rules
    if properties.job.percentiles == "on":
        told = rules.union(find_thresholds(reports, rules, start, interval))
    evaluate = reports.connect(told.broadcast(BROADCAST)).process(Evaluate(start, interval), LINES)
    evaluated = evaluate.name("evaluate").uid("evaluate")
    deliver_alarms(evaluated, properties.alarms)
    keep_refused(evaluated.union(updates), properties.refused)
    return environment


def open_environment(job: Job) -> StreamExecutionEnvironment:
    """Return an environment in which Python runs as the properties say."""
    settings = Configuration()
    settings.set_string("python.execution-mode", job.execution_mode)
    environment = StreamExecutionEnvironment.get_execution_environment(settings)
    if seconds := float(job.checkpoint_seconds):
        environment.enable_checkpointing(int(seconds * 1000), CheckpointingMode.EXACTLY_ONCE)
    return environment


def read_reports(environment: StreamExecutionEnvironment, place: Place) -> Any:
    """Return the stream of records, by thing and with the broker's times."""
    order = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(int(OUT_OF_ORDER)))
    order = order.with_idleness(Duration.of_seconds(int(IDLE)))
    source = make_source(place)
    if not isinstance(place, Files):  # each of the source's parts has its own time
        records = environment.from_source(source, order, "reports").uid("reports")
        return records.key_by(key_of, key_type=Types.STRING())
    with one_after_the_other(environment):  # files say nothing of times
        records = environment.from_source(source, WatermarkStrategy.no_watermarks(), "reports").uid("reports")
        stamped = records.assign_timestamps_and_watermarks(order.with_timestamp_assigner(Times()))
        return stamped.key_by(key_of, key_type=Types.STRING())


def read_updates(environment: StreamExecutionEnvironment, job: Job, start: Start) -> Any:
    """Return the stream of rules that were checked, and of sentences about those that were refused."""
    with one_after_the_other(environment):
        documents = environment.from_collection([""], type_info=LINES).uid("first rules")
        if job.updates is not None:
            never = WatermarkStrategy.no_watermarks().with_idleness(Duration.of_seconds(1))  # they have no time
            updates = environment.from_source(read_files(job.updates, UPDATES_EVERY), never, "rules")
            documents = documents.union(updates.uid("updates"))
        checked = documents.key_by(lambda _: "", key_type=Types.STRING()).process(Gate(start), LINES)
        return checked.name("check rules").uid("check rules")


@contextlib.contextmanager
def one_after_the_other(environment: StreamExecutionEnvironment) -> Iterator[None]:
    """Let operators be made that keep the order of all records: of each there is one, whatever the job has of others.

    Python adds operators of its own between those that are named, and they are of as many as the environment says.
    """
    parallelism = environment.get_parallelism()
    environment.set_parallelism(1)
    yield
    environment.set_parallelism(parallelism)


def find_thresholds(reports: Any, rules: Any, start: Start, interval: float) -> Any:
    """Return the stream of percentiles over all things."""
    sampled = reports.connect(rules.broadcast(BROADCAST)).process(Sample(start, interval), LINES)
    sampled = sampled.name("find datapoints").uid("find datapoints")
    shares = sampled.key_by(share_of, key_type=Types.STRING())
    sketches = shares.process(Condense(), SKETCHES).name("condense").uid("condense")
    merged = sketches.key_by(lambda each: each[0], key_type=Types.STRING()).process(Merge(), LINES)
    return merged.name("find thresholds").uid("find thresholds")


def deliver_alarms(evaluated: Any, places: tuple[Place, ...]) -> None:
    """Send the alarms to every place; those that nobody is to be notified of go where they are kept only."""
    alarms = evaluated.filter(lambda line: line[0] in lines.ALARM + lines.QUIET).map(lambda line: line[1:], LINES)
    alarms = alarms.name("alarms").uid("alarms")
    for place in places:
        kind = type(place).__name__.lower()
        if isinstance(place, Sns):
            loud = evaluated.filter(lambda line: line[0] == lines.ALARM).map(lambda line: line[1:], LINES)
            _deliver(loud, Topic(place.topic_arn), kind)
        elif isinstance(place, TableGroup):
            _deliver(alarms, Table(place.table, place.region), kind)
        else:
            alarms.sink_to(make_sink(place)).name(f"alarms to {kind}").uid(f"alarms to {kind}")


def keep_refused(refused: Any, places: tuple[Place, ...]) -> None:
    """Count what was refused, by its code, and keep it where the properties say."""
    only = refused.filter(lambda line: line[0] == lines.REFUSED)
    counted = only.key_by(lambda line: lines.read_refused(line).code, key_type=Types.STRING())
    counted = counted.process(Count(), LINES).name("count refused").uid("count refused")
    for place in places:
        kind = type(place).__name__.lower()
        counted.sink_to(make_sink(place)).name(f"refused to {kind}").uid(f"refused to {kind}")


def _deliver(alarms: Any, delivery: Delivery, kind: str) -> None:
    alarms.map(Deliver(delivery), LINES).name(f"alarms to {kind}").uid(f"alarms to {kind}")
