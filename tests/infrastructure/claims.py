"""A fleet whose devices provision themselves, in memory: its stack, its table of serials, and AWS IoT beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infrastructure.deployed import Deployed, DeployedStack
from infrastructure.description import ClaimStack
from infrastructure.fleet import Fleet
from infrastructure.names import TAG, Names
from tests.fakes.fake_account import FakeIot, certificate_arn, make_account, make_screen
from tests.fakes.fake_cloudformation import refuse

NAMES = Names("lab")
REQUEST = "-----BEGIN CERTIFICATE REQUEST-----"
CLAIM_ID = "c1a1"


class ClaimIot(FakeIot):
    """AWS IoT with a claim: templates (whether they are enabled), rules (whether they are disabled), principals."""

    def __init__(self) -> None:
        super().__init__()
        self.certificates = {CLAIM_ID: "ACTIVE"}
        self.policies = {"lab-claim": {certificate_arn(CLAIM_ID)}}
        self.templates = {"lab": True, "lab-rotate": True}
        self.rules = {"theirs": True, "another": False, "lab_rotated": False}
        self.principals: dict[str, list[str]] = {}  # thing to ARNs

    def describe_provisioning_template(self, templateName: str) -> dict[str, Any]:  # noqa: N803
        self._call("describe_provisioning_template")
        if templateName not in self.templates:
            raise refuse("ResourceNotFoundException", templateName)
        return {"templateName": templateName, "enabled": self.templates[templateName]}

    def list_topic_rules(self) -> Iterator[dict[str, Any]]:
        """Yield a rule a page; AWS says of one that is not disabled that it is not, or nothing."""
        for name, disabled in self.rules.items():
            yield {"rules": [{"ruleName": name, **({"ruleDisabled": True} if disabled else {})}]}

    def list_thing_principals(self, thingName: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        """Yield a principal a page."""
        if thingName not in self.principals:
            raise refuse("ResourceNotFoundException", thingName)
        yield from ({"principals": [arn]} for arn in self.principals[thingName])


def claim_stack(
    request: str | None = REQUEST, prefixes: tuple[str, ...] = ("osx", "rpi", "sys"), status: str = "CREATE_COMPLETE"
) -> Deployed:
    """Return a fleet whose stack of the claim is as it is deployed."""
    description = ClaimStack(NAMES, request, prefixes)
    properties = {"CertificateSigningRequest": request, "Status": "ACTIVE"}
    resources = {"Claim": {"Type": "AWS::IoT::Certificate", "Properties": properties}} if request else {}
    template = {"Metadata": {TAG: {"digest": description.digest}}, "Resources": resources}
    outputs = {"ClaimCertificate": CLAIM_ID} if request else {}
    return Deployed({"lab-claim": DeployedStack("lab-claim", status, "", outputs, template)})


def claim_fleet(deployed: Deployed | None = None, iot: FakeIot | None = None, **clients: Any) -> Fleet:
    """Return a fleet in an account with these clients."""
    account = make_account(iot=iot or ClaimIot(), **clients)
    return Fleet(account, NAMES, make_screen()[0], deployed if deployed is not None else claim_stack())
