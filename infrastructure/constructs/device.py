"""A thing with its certificate."""

from __future__ import annotations

import hashlib
import re

from aws_cdk import CfnOutput
from aws_cdk.aws_iot import CfnCertificate, CfnPolicyPrincipalAttachment, CfnThing, CfnThingPrincipalAttachment
from constructs import Construct

from infrastructure.names import Names

_SHOWN = 12  # characters of a thing's name in its resources' ids; each is in the template eleven times


class Device(Construct):
    """A thing, the certificate that its key gets, the fleet's policy for it, and that it is this thing's.

    The policy goes by its name, so that the stacks have nothing of each other that could hold them fast.
    """

    def __init__(self, scope: Construct, construct_id: str, names: Names, thing_name: str, request: str) -> None:
        super().__init__(scope, construct_id)
        thing = CfnThing(self, "Thing", thing_name=thing_name)
        certificate = CfnCertificate(self, "Certificate", status="ACTIVE", certificate_signing_request=request)
        principal = certificate.attr_arn
        policy = CfnPolicyPrincipalAttachment(self, "Policy", policy_name=names.policy, principal=principal)
        identity = CfnThingPrincipalAttachment(self, "Identity", thing_name=thing.ref, principal=principal)
        certificate_id = CfnOutput(self, "CertificateId", value=certificate.ref)
        begin = begin_logical_ids(thing_name)
        thing.override_logical_id(f"{begin}Thing")
        certificate.override_logical_id(f"{begin}Certificate")
        policy.override_logical_id(f"{begin}Policy")
        identity.override_logical_id(f"{begin}Identity")
        certificate_id.override_logical_id(f"{begin}Certificate")


def begin_logical_ids(thing_name: str) -> str:
    """Return what the ids of a thing's resources begin with, which is the same whatever else the template holds."""
    readable = re.sub("[^A-Za-z0-9]", "", thing_name)[:_SHOWN]
    return readable + hashlib.sha256(thing_name.encode()).hexdigest()[:8]
