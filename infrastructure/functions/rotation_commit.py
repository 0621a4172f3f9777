"""Makes a thing's other certificates INACTIVE, once it said over a connection with the new one that it has it."""

import logging
import os

import boto3

GROUP = os.environ["GROUP"]
iot = boto3.client("iot")


def handler(event, context):
    thing, new = event["thing"], event["principal"]
    pages = iot.get_paginator("list_thing_principals").paginate(thingName=thing)
    found = {arn.partition(":cert/")[2] for page in pages for arn in page["principals"]}
    groups = iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"]
    if new != event.get("certificateId") or new not in found or GROUP not in {each["groupName"] for each in groups}:
        logging.warning("ignored %r", event)
        return
    for certificate in sorted(found - {new, ""}):
        iot.update_certificate(certificateId=certificate, newStatus="INACTIVE")
        logging.warning("%s: %s is INACTIVE, replaced by %s", thing, certificate, new)
