"""What was changed by hand of what lets devices provision themselves, and how to repair it."""

from __future__ import annotations

from collections.abc import Iterator

from infrastructure.account import found
from infrastructure.errors import DeployError
from infrastructure.fleet import Fleet
from infrastructure.registry import Registry
from infrastructure.serial_table import Table

OUTPUT = "ClaimCertificate"  # the stack's output with the certificate's id
RENEW = "--end-claims, then --claim makes a new one"


def drift_of_claim(fleet: Fleet, registry: Registry, table: Table) -> Iterator[DeployError]:
    """Yield what keeps devices from provisioning themselves or rotating, although the stack is as it should be."""
    stack = fleet.deployed.stack(fleet.names.claim_stack)
    if stack is None or not stack.exists:
        return
    if certificate := stack.outputs.get(OUTPUT, ""):
        yield from _drift_of_certificate(fleet, registry, certificate)
    for name in (fleet.names.template, fleet.names.rotation_template):
        yield from _drift_of_template(fleet, name)
    yield from _drift_of_rule(fleet)
    if table.missing:
        name = fleet.names.serials_table
        yield DeployError(f"the table {name} was deleted by hand, and no device can register: {_again(fleet)}")


def _drift_of_certificate(fleet: Fleet, registry: Registry, certificate: str) -> Iterator[DeployError]:
    if registry.certificates.get(certificate) != "ACTIVE":
        answer = found(fleet.account.iot.describe_certificate, certificateId=certificate)
        if answer is None:
            yield DeployError(f"the claim certificate was deleted by hand: {RENEW}")
            return
        status = answer["certificateDescription"]["status"]
        if status != "ACTIVE":
            activate = f"aws iot update-certificate --certificate-id {certificate} --new-status ACTIVE"
            yield DeployError(
                f"the claim certificate is {status}, and no device can provision itself: {RENEW}, or `{activate} "
                f"--region {fleet.account.region}`"
            )
    attached = fleet.account.iot.list_attached_policies(target=fleet.account.certificate_arn(certificate))
    names = [policy["policyName"] for policy in attached["policies"]]
    if names != [fleet.names.claim_policy]:
        has = f"has the policies {', '.join(names)}" if names else "has no policy"
        yield DeployError(f"the claim certificate {has}, and should have {fleet.names.claim_policy} only: {RENEW}")


def _drift_of_template(fleet: Fleet, name: str) -> Iterator[DeployError]:
    answer = found(fleet.account.iot.describe_provisioning_template, templateName=name)
    if answer is None:
        yield DeployError(f"the provisioning template {name} was deleted by hand: {_again(fleet)}")
    elif not answer.get("enabled"):
        enable = f"aws iot update-provisioning-template --template-name {name} --enabled"
        yield DeployError(f"the provisioning template {name} was disabled: `{enable} --region {fleet.account.region}`")


def _drift_of_rule(fleet: Fleet) -> Iterator[DeployError]:
    name = fleet.names.rotation_rule
    rules = _rules(fleet)
    if name not in rules:
        yield DeployError(f"the rule {name} was deleted by hand, and old certificates stay ACTIVE: {_again(fleet)}")
    elif rules[name]:
        enable = f"aws iot enable-topic-rule --rule-name {name} --region {fleet.account.region}"
        yield DeployError(f"the rule {name} was disabled, and old certificates stay ACTIVE: `{enable}`")


def _rules(fleet: Fleet) -> dict[str, bool]:
    """Return the account's rules, and which are disabled: a rule that there is not cannot be asked for by its name."""
    pages = fleet.account.iot.get_paginator("list_topic_rules").paginate(PaginationConfig={})
    return {rule["ruleName"]: bool(rule.get("ruleDisabled")) for page in pages for rule in page["rules"]}


def _again(fleet: Fleet) -> str:
    delete = f"aws cloudformation delete-stack --stack-name {fleet.names.claim_stack}"
    return f"`{delete} --region {fleet.account.region}`, then give --claim with --serials again"
