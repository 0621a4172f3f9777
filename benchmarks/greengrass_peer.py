"""What the component is compared with where AWS's own is not at hand: a program that does what that does, by AWS's SDK.

It takes its configuration from the nucleus, subscribes to the answers, collects with the collectors of AWS's agent,
publishes every 300 s, and hears of changes: by `awsiotsdk`'s IPC client and nothing of this project.
"""

from __future__ import annotations

import os
import time

import awsiot.greengrasscoreipc.clientv2
from AWSIoTDeviceDefenderAgentSDK.collector import Collector

TOPIC = f"$aws/things/{os.environ['AWS_IOT_THING_NAME']}/defender/metrics/json"


def main() -> None:
    """Report until it is killed."""
    client = awsiot.greengrasscoreipc.clientv2.GreengrassCoreIPCClientV2()
    interval = max(300, int(client.get_configuration(key_path=[]).value["SampleIntervalSeconds"]))
    for answer in ("accepted", "rejected"):
        client.subscribe_to_iot_core(topic_name=f"{TOPIC}/{answer}", qos="0", on_stream_event=lambda event: None)
    client.subscribe_to_configuration_update(key_path=[], on_stream_event=lambda event: None)
    collector = Collector(short_metrics_names=False)
    while True:
        report = collector.collect_metrics().to_json_string()
        client.publish_to_iot_core(topic_name=TOPIC, qos="0", payload=report.encode())
        time.sleep(interval)


if __name__ == "__main__":
    main()
