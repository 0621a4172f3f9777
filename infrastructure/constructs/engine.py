"""What evaluates reports outside of AWS's Detect: rule, stream, Flink application, and where alarms go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Aws, CfnOutput, Fn
from aws_cdk import aws_kinesisanalyticsv2 as flink
from aws_cdk.aws_dynamodb import CfnTable
from aws_cdk.aws_iam import PolicyDocument, PolicyStatement, Role, ServicePrincipal
from aws_cdk.aws_iot import CfnTopicRule
from aws_cdk.aws_kinesis import CfnStream
from aws_cdk.aws_logs import CfnLogGroup, CfnLogStream
from aws_cdk.aws_sns import CfnSubscription, CfnTopic
from constructs import Construct

from infrastructure.description import EngineStack
from infrastructure.names import TAG

RUNTIME = "FLINK-2_2"  # with Python 3.12
SQL = (  # encode carries CBOR as well as JSON; of the reserved topic the third level is the thing
    "SELECT encode(*, 'base64') AS payload, topic(3) AS thing, timestamp() AS t FROM '$aws/things/+/defender/metrics/+'"
)
THING = "${topic(3)}"  # the records of a thing stay in their order
SQL_VERSION = "2016-03-23"
SHORTEST_INTERVAL = 300.0  # seconds; reports of a thing that come sooner are rejected, as AWS does
KEPT_HOURS = 24  # of reports in the stream: as long may the application stand still and lose none
LOG_DAYS = 30
READ_STREAM = [
    *("kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords"),
    *("kinesis:GetShardIterator", "kinesis:ListShards"),
]


class Engine(Construct):
    """Everything between the topic of reports and the alarms."""

    def __init__(self, scope: Construct, construct_id: str, what: EngineStack) -> None:
        super().__init__(scope, construct_id)
        self._what, self._name = what, what.names.engine
        self._stream = CfnStream(
            self,
            "Stream",
            name=self._name,
            retention_period_hours=KEPT_HOURS,
            stream_mode_details=CfnStream.StreamModeDetailsProperty(stream_mode="ON_DEMAND"),
            stream_encryption=CfnStream.StreamEncryptionProperty(encryption_type="KMS", key_id="alias/aws/kinesis"),
        )
        self._log = CfnLogGroup(self, "Log", log_group_name=what.names.engine_log, retention_in_days=LOG_DAYS)
        self._table = self._make_table()
        self._topic_arn = self._make_topic()
        self._make_rule()
        self._make_application()

    def _make_table(self) -> CfnTable:
        """Make the table of alarms; an alarm that is written again, after a restart for instance, changes nothing."""
        keys = {"violationId": "HASH", "type": "RANGE"}
        return CfnTable(
            self,
            "Alarms",
            table_name=self._name,
            billing_mode="PAY_PER_REQUEST",
            attribute_definitions=[
                CfnTable.AttributeDefinitionProperty(attribute_name=name, attribute_type="S") for name in keys
            ],
            key_schema=[CfnTable.KeySchemaProperty(attribute_name=name, key_type=kind) for name, kind in keys.items()],
        )

    def _make_topic(self) -> str:
        """Return the ARN of the topic of alarms: that of the security profiles' alerts where there is one."""
        what = self._what
        if what.alerts_exist:
            return _arn("sns", what.names.topic)
        arn = CfnTopic(self, "Topic", topic_name=what.names.engine_topic).ref
        if what.alert_email:
            CfnSubscription(self, "Subscription", topic_arn=arn, protocol="email", endpoint=what.alert_email)
        return arn

    def _make_rule(self) -> None:
        stream, log = self._stream.attr_arn, self._log.attr_arn
        role = self._make_role(
            "RuleRole",
            "iot.amazonaws.com",
            [
                (["kinesis:PutRecord"], [stream]),
                (["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"], [log]),
            ],
        )
        kinesis = CfnTopicRule.KinesisActionProperty(
            role_arn=role.role_arn, stream_name=self._stream.ref, partition_key=THING
        )
        failed = CfnTopicRule.CloudwatchLogsActionProperty(log_group_name=self._log.ref, role_arn=role.role_arn)
        CfnTopicRule(
            self,
            "Rule",
            rule_name=self._what.names.engine_rule,
            topic_rule_payload=CfnTopicRule.TopicRulePayloadProperty(
                sql=SQL,
                aws_iot_sql_version=SQL_VERSION,
                description="Reports of Device Defender, for Detect on Apache Flink",
                rule_disabled=False,
                actions=[CfnTopicRule.ActionProperty(kinesis=kinesis)],
                error_action=CfnTopicRule.ActionProperty(cloudwatch_logs=failed),
            ),
        )

    def _make_application(self) -> None:
        bucket, what = _s3(self._what.bucket), self._what
        log_stream = CfnLogStream(self, "LogStream", log_group_name=self._log.ref, log_stream_name="application")
        role = self._make_role(
            "ApplicationRole",
            "kinesisanalytics.amazonaws.com",
            [
                (["s3:GetObject", "s3:GetObjectVersion"], [f"{bucket}/{what.code_key}", f"{bucket}/rules/*"]),
                (["s3:ListBucket"], [bucket]),
                (READ_STREAM, [self._stream.attr_arn]),
                (["sns:Publish"], [self._topic_arn]),
                (["dynamodb:PutItem"], [self._table.attr_arn]),
                (["logs:DescribeLogGroups"], [_arn("logs", "log-group:*")]),
                (["logs:DescribeLogStreams", "logs:PutLogEvents"], [self._log.attr_arn]),
            ],
        )
        application = flink.CfnApplication(
            self,
            "Application",
            application_name=self._name,
            runtime_environment=RUNTIME,
            service_execution_role=role.role_arn,
            application_configuration=self._configure(),
        )
        details = {"mode": what.mode, "asked": what.asked, "jar": what.jar, "code": what.code_key}
        application.add_metadata(TAG, details)
        arn = Fn.join(":", [_arn("logs", "log-group"), self._log.ref, "log-stream", log_stream.ref])
        option = flink.CfnApplicationCloudWatchLoggingOption.CloudWatchLoggingOptionProperty(log_stream_arn=arn)
        flink.CfnApplicationCloudWatchLoggingOption(
            self, "Logging", application_name=application.ref, cloud_watch_logging_option=option
        )
        for name, value in {"Application": application.ref, "Topic": self._topic_arn, "Table": self._table.ref}.items():
            CfnOutput(self, f"{name}Output", value=value).override_logical_id(name)

    def _configure(self) -> flink.CfnApplication.ApplicationConfigurationProperty:
        made, what = flink.CfnApplication, self._what
        code = made.S3ContentLocationProperty(bucket_arn=_s3(what.bucket), file_key=what.code_key)
        return made.ApplicationConfigurationProperty(
            application_code_configuration=made.ApplicationCodeConfigurationProperty(
                code_content=made.CodeContentProperty(s3_content_location=code), code_content_type="ZIPFILE"
            ),
            application_snapshot_configuration=made.ApplicationSnapshotConfigurationProperty(snapshots_enabled=True),
            environment_properties=made.EnvironmentPropertiesProperty(
                property_groups=[
                    made.PropertyGroupProperty(property_group_id=group, property_map=dict(properties))
                    for group, properties in self._properties().items()
                ]
            ),
            flink_application_configuration=made.FlinkApplicationConfigurationProperty(
                checkpoint_configuration=made.CheckpointConfigurationProperty(configuration_type="DEFAULT"),
                monitoring_configuration=made.MonitoringConfigurationProperty(
                    configuration_type="CUSTOM", log_level="INFO", metrics_level="APPLICATION"
                ),
                parallelism_configuration=made.ParallelismConfigurationProperty(
                    configuration_type="CUSTOM",
                    parallelism=what.parallelism,
                    parallelism_per_kpu=1,
                    auto_scaling_enabled=False,
                ),
            ),
        )

    def _properties(self) -> Mapping[str, Mapping[str, str]]:
        """Return what the job reads, and what Managed Service for Apache Flink does."""
        what = self._what
        return {
            "detect": {
                "rules": "rules.json",
                "updates": f"s3://{what.bucket}/rules/",
                "minimum_interval": f"{min(what.interval, SHORTEST_INTERVAL):g}",
                "checkpoint_seconds": "0",
                "execution_mode": what.mode,
            },
            "source.kinesis": {
                "stream_arn": self._stream.attr_arn,
                "region": Aws.REGION,
                "initial_position": "TRIM_HORIZON",
            },
            "alarms.sns": {"topic_arn": self._topic_arn},
            "alarms.dynamodb": {"table": self._table.ref, "region": Aws.REGION},
            "kinesis.analytics.flink.run.options": {
                "python": "main.py",
                "jarfile": what.jar,
                "pyFiles": "packages/",
            },
        }

    def _make_role(
        self, construct_id: str, service: str, allowed: Sequence[tuple[Sequence[str], Sequence[str]]]
    ) -> Role:
        """Make a role that a service may assume for this account only."""
        mine = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
        statements = [PolicyStatement(actions=list(actions), resources=list(arns)) for actions, arns in allowed]
        return Role(
            self,
            construct_id,
            assumed_by=ServicePrincipal(service, conditions=mine),
            inline_policies={"engine": PolicyDocument(statements=statements)},
        )


def _arn(service: str, resource: str) -> str:
    return Fn.sub(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}")


def _s3(bucket: str) -> str:
    return Fn.sub(f"arn:${{AWS::Partition}}:s3:::{bucket}")
