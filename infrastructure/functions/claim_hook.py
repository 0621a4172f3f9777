"""Lets a device register whose serial is listed, and which has no thing yet: AWS IoT's pre-provisioning hook."""

import logging
import os
import time

import boto3

AT_ONCE = 60  # seconds in which another certificate for a serial is a copy of the device
LONGEST = 128  # characters of a serial or a name
REFUSED, KEPT = " refused", 10  # where refusals are noted (no serial has a space), and how many
PREFIXES = os.environ["PREFIXES"].split()
iot = boto3.client("iot")
table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event, context):
    asked = event.get("parameters", {})
    serial, thing = (str(asked.get(key, "")) for key in ("SerialNumber", "ThingName"))
    why = refuse(serial.lower(), thing, event["certificateId"])
    if why:
        logging.warning("refused %r as %r: %s", serial, thing, why)
        note({"serial": serial[:LONGEST], "thing": thing[:LONGEST], "why": why, "at": int(time.time())})
    return {"allowProvisioning": not why}


def refuse(serial, thing, certificate):
    """Return why the device may not register; with "" the serial is taken by its certificate."""
    known = 0 < len(serial) <= LONGEST and serial != REFUSED
    item = table.get_item(Key={"serial": serial}, ConsistentRead=True).get("Item") if known else None
    if item is None:
        return "the serial is not listed"
    listed = item.get("thing")
    names = [listed] if listed else [serial, *(f"{each}-{serial}".lower() for each in PREFIXES)]
    if (thing if listed else thing.lower()) not in names:
        return f"the thing's name must be {' or '.join(names)}"
    again = item.get("again", "") != item.get("used", "")
    same = item.get("certificate") == certificate
    things = [each for each in {thing, item.get("took", thing)} if exists(each)]
    if things and not (same or again):
        return "it has a thing already; list it again to let it register once more"
    if not (same or again) and time.time() - int(item.get("at", 0)) < AT_ONCE:
        return "another device registered with this serial a moment ago"
    if not take(serial, thing, certificate, item):
        return "another device registered with this serial at this moment"
    for each in things if again or item.get("used") else ():
        deactivate(each, certificate)
    return ""


def exists(thing):
    try:
        return bool(iot.describe_thing(thingName=thing))
    except iot.exceptions.ResourceNotFoundException:
        return False


def take(serial, thing, certificate, item):
    """Note whose the serial is now, unless another device was quicker."""
    new = {"took": thing, "certificate": certificate, "at": int(time.time()), "used": item.get("again", "")}
    before = {":before": item.get("certificate", "-")}
    try:
        table.update_item(
            Key={"serial": serial},
            UpdateExpression="SET " + ", ".join(f"#{key} = :{key}" for key in new),
            ConditionExpression="attribute_exists(serial) AND "
            "(attribute_not_exists(#certificate) OR #certificate = :before)",
            ExpressionAttributeNames={f"#{key}": key for key in new},
            ExpressionAttributeValues={**{f":{key}": value for key, value in new.items()}, **before},
        )
    except table.meta.client.exceptions.ConditionalCheckFailedException:
        return False
    return True


def deactivate(thing, certificate):
    """End the certificates that the thing had: a device that is listed again has lost them."""
    for page in iot.get_paginator("list_thing_principals").paginate(thingName=thing):
        for arn in page["principals"]:
            old = arn.partition(":cert/")[2]
            if old and old != certificate:
                iot.update_certificate(certificateId=old, newStatus="INACTIVE")


def note(refusal):
    """Keep the last refusals, for whoever deploys."""
    before = table.get_item(Key={"serial": REFUSED}).get("Item", {})
    last = [refusal, *before.get("last", [])][:KEPT]
    table.put_item(Item={"serial": REFUSED, "last": last, "count": int(before.get("count", 0)) + 1})
