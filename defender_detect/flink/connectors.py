"""Sources and sinks of Flink's own connectors, whose jars the deployer brings: files need none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyflink.common import Configuration, Duration, Encoder, SimpleStringSchema
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.file_system import FileSink, FileSource, RollingPolicy, StreamFormat
from pyflink.java_gateway import get_gateway

from defender_detect.errors import ConfigError
from defender_detect.flink.properties import Files, Kafka, Kinesis
from defender_detect.flink.records import time_of

JARS: Mapping[type, tuple[str, str]] = {  # a class that is in the jar, and the jar
    Kinesis: (
        "org.apache.flink.connector.kinesis.source.KinesisStreamsSource",
        "flink-sql-connector-aws-kinesis-streams-VERSION.jar",
    ),
    Kafka: ("org.apache.flink.connector.kafka.source.KafkaSource", "flink-sql-connector-kafka-VERSION.jar"),
}
COMMITTED = "transaction.timeout.ms"
TRANSACTION = str(15 * 60 * 1000)  # ms; brokers allow no more unless told, and Flink's own hour is refused


class Times(TimestampAssigner):
    """The broker's time of a record, for sources that have none of their own."""

    def extract_timestamp(self, value: str, record_timestamp: int) -> int:
        """Return it in milliseconds."""
        return int(time_of(value) * 1000)


def check_jar(kind: type) -> None:
    """Raise ConfigError unless the connector of a kind is there."""
    if kind not in JARS:
        return
    name, jar = JARS[kind]
    try:
        thread = get_gateway().jvm.Thread.currentThread()
        get_gateway().jvm.Class.forName(name, False, thread.getContextClassLoader())
    except Exception as error:  # py4j's, whatever Java raises
        raise ConfigError(
            [f"{kind.__name__} needs {jar} (VERSION goes with Flink's) in Flink's lib/, or as the job's jarfile"]
        ) from error


def make_source(place: Any) -> Any:
    """Return a source of lines."""
    check_jar(type(place))
    if isinstance(place, Files):
        return read_files(place.path, float(place.watch_seconds))
    return _read_kinesis(place) if isinstance(place, Kinesis) else _read_kafka(place)


def make_sink(place: Any) -> Any:
    """Return a sink of lines."""
    check_jar(type(place))
    if isinstance(place, Files):
        return write_files(place.path)
    return _write_kinesis(place) if isinstance(place, Kinesis) else _write_kafka(place)


def read_files(path: str, seconds: float) -> Any:
    """Return a source of the lines of files; every so many seconds it looks for new ones, unless that is 0."""
    builder = FileSource.for_record_stream_format(StreamFormat.text_line_format(), path)
    if seconds:
        builder = builder.monitor_continuously(Duration.of_millis(int(seconds * 1000)))
    return builder.build()


def write_files(path: str) -> Any:
    """Return a sink whose files have each line exactly once, as of the last checkpoint."""
    sink = FileSink.for_row_format(path, Encoder.simple_string_encoder())
    return sink.with_rolling_policy(RollingPolicy.on_checkpoint_rolling_policy()).build()


def _read_kinesis(place: Kinesis) -> Any:
    """Return a source of a stream's records; pyflink has no wrapper of this one yet."""
    from pyflink.datastream.connectors import Source

    settings = Configuration()
    settings.set_string("aws.region", place.region)
    settings.set_string("source.init.position", place.initial_position)
    package = get_gateway().jvm.org.apache.flink.connector.kinesis.source
    builder = package.KinesisStreamsSource.builder().setStreamArn(place.stream_arn)
    builder = builder.setSourceConfig(settings._j_configuration)
    schema = SimpleStringSchema()._j_deserialization_schema
    return Source(builder.setDeserializationSchema(schema).build())


def _read_kafka(place: Kafka) -> Any:
    from pyflink.datastream.connectors.kafka import KafkaOffsetResetStrategy, KafkaOffsetsInitializer, KafkaSource

    start = KafkaOffsetsInitializer.committed_offsets(KafkaOffsetResetStrategy.LATEST)
    builder = KafkaSource.builder().set_bootstrap_servers(place.bootstrap_servers).set_topics(place.topic)
    builder = builder.set_group_id(place.group_id).set_starting_offsets(start)
    builder = builder.set_value_only_deserializer(SimpleStringSchema())
    for key, value in place.client.items():
        builder = builder.set_property(key, value)
    return builder.build()


def _write_kinesis(place: Kinesis) -> Any:
    from pyflink.datastream.connectors.kinesis import KinesisStreamsSink, PartitionKeyGenerator

    builder = KinesisStreamsSink.builder().set_kinesis_client_properties({"aws.region": place.region})
    builder = builder.set_serialization_schema(SimpleStringSchema()).set_fail_on_error(False)  # tries again
    builder = builder.set_partition_key_generator(PartitionKeyGenerator.random())
    return builder.set_stream_name(place.stream_arn.rpartition("/")[2]).build()


def _write_kafka(place: Kafka) -> Any:
    from pyflink.datastream.connectors.kafka import KafkaRecordSerializationSchema, KafkaSink

    schema = KafkaRecordSerializationSchema.builder().set_topic(place.topic)
    schema = schema.set_value_serialization_schema(SimpleStringSchema()).build()
    builder = KafkaSink.builder().set_bootstrap_servers(place.bootstrap_servers).set_record_serializer(schema)
    if place.guarantee == "exactly-once":
        builder = builder.set_delivery_guarantee(DeliveryGuarantee.EXACTLY_ONCE)
        builder = builder.set_transactional_id_prefix(place.group_id).set_property(COMMITTED, TRANSACTION)
    else:
        builder = builder.set_delivery_guarantee(DeliveryGuarantee.AT_LEAST_ONCE)
    for key, value in place.client.items():
        builder = builder.set_property(key, value)
    return builder.build()
