"""What security profiles themselves ask for: `alertTargets`, an SNS topic, and `metricsExportConfig`, an MQTT topic.

AWS assumes a profile's `roleArn` for both. Here it is not used: SNS needs credentials of this machine, and MQTT the
connection that the reports come from.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from defender_detect.alerts.export import MetricsExporter
from defender_detect.alerts.sns import TOPIC, SnsSink
from defender_detect.alerts.target import Publish
from defender_detect.alerts.topic import is_topic
from defender_detect.errors import AlertSettingError

if TYPE_CHECKING:
    from defender_detect.evaluate.detector import Rules
    from defender_detect.profiles import Profile

NO_SNS_TOPIC = "it must be the ARN of an SNS topic, arn:aws:sns:REGION:ACCOUNT:NAME"

log = logging.getLogger(__name__)


def describe_outside(rules: Rules) -> Iterator[str]:
    """Yield a sentence for each profile's own targets: what comes of them, and of whose credentials."""
    for profile in (attachment.profile for attachment in rules.attachments):
        where = f"security profile {profile.name}:"
        if profile.alert_topic is not None:
            reason = why_no_sink(profile.alert_topic)
            yield f"{where} " + (
                f"its alarms do not go to the SNS topic {profile.alert_topic} (alertTargets): {reason}"
                if reason
                else f"its alarms go to the SNS topic {profile.alert_topic}, too (alertTargets), with the credentials "
                "of this machine and not by roleArn"
            )
        if profile.export_topic is not None and profile.exported:
            metrics, verb = ", ".join(profile.exported), "is" if len(profile.exported) == 1 else "are"
            yield f"{where} " + (
                f"{metrics} {verb} exported to the MQTT topic {profile.export_topic} (metricsExportConfig), at the "
                "broker that the reports come from and not by roleArn"
                if is_topic(profile.export_topic)
                else f"nothing is exported: {profile.export_topic!a} (metricsExportConfig) is no topic to publish on"
            )


def why_no_sink(arn: str) -> str:
    """Return why nothing can be sent to a profile's SNS topic; an empty string if it can be."""
    if not re.search(TOPIC, arn):
        return NO_SNS_TOPIC
    try:
        SnsSink(arn)
    except AlertSettingError as error:
        return str(error)
    return ""


def make_profile_sinks(profiles: Sequence[Profile]) -> list[tuple[SnsSink, frozenset[str]]]:
    """Return what sends alarms to the profiles' own SNS topics, with the names of the profiles that each is for.

    What cannot be sent to costs the other targets nothing; `describe_outside` says so.
    """
    names: dict[str, list[str]] = {}
    for each in profiles:
        if each.alert_topic is not None and not why_no_sink(each.alert_topic):
            names.setdefault(each.alert_topic, []).append(each.name)
    return [(SnsSink(arn), frozenset(of)) for arn, of in names.items()]


def exports_of(profiles: Iterable[Profile]) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Return what is exported: by topic, and by profile."""
    found: dict[str, dict[str, Sequence[str]]] = {}
    for each in profiles:
        if each.export_topic is not None and each.exported and is_topic(each.export_topic):
            found.setdefault(each.export_topic, {})[each.name] = each.exported
    return found


def make_exporters(profiles: Iterable[Profile], publish: Publish) -> list[MetricsExporter]:
    """Return what exports the metrics of profiles."""
    return [MetricsExporter(topic, metrics, publish) for topic, metrics in exports_of(profiles).items()]
