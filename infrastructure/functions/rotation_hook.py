"""Lets a certificate register another one for its own thing only: the pre-provisioning hook of the rotation."""

import logging

import boto3

iot = boto3.client("iot")


def handler(event, context):
    thing, certificate = event.get("parameters", {}).get("ThingName"), event.get("claimCertificateId")
    allowed = bool(thing and certificate) and event.get("clientId") == thing and certificate in certificates(thing)
    if not allowed:
        logging.warning("refused %r as %r for %r", certificate, event.get("clientId"), thing)
    return {"allowProvisioning": allowed}


def certificates(thing):
    """Return the ids of a thing's certificates, none for a thing that there is not."""
    pages = iot.get_paginator("list_thing_principals").paginate(thingName=thing)
    try:
        return {arn.partition(":cert/")[2] for page in pages for arn in page["principals"]}
    except iot.exceptions.ResourceNotFoundException:
        return set()
