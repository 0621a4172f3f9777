"""The answers that write: security profiles, kept in the state directory, where Detect finds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from defender_detect.api import inputs
from defender_detect.api.answers import DESCRIBED, Answer, Source, dates_of
from defender_detect.api.faults import Fault, invalid, not_found
from defender_detect.evaluate.detector import ALL_THINGS
from defender_detect.evaluate.targets import MOST_PER_TARGET, arn_of_profile, name_target
from defender_detect.store.documents import Written
from device_defender.profile_rules import find_profile_problems

DELETIONS = {  # members of UpdateSecurityProfile, and the key that each removes
    "deleteBehaviors": "behaviors",
    "deleteAlertTargets": "alertTargets",
    "deleteAdditionalMetricsToRetain": "additionalMetricsToRetain",
    "deleteMetricsExportConfig": "metricsExportConfig",
}


def create_security_profile(source: Source, given: inputs.CreateSecurityProfile) -> Answer:
    """Answer CreateSecurityProfile."""
    name = given.security_profile_name
    document = check(document_of(given))
    with source.kept.profiles.alone():
        source.refresh()
        if any(each.profile.name == name for each in source.attachments()):
            raise Fault(409, "ResourceAlreadyExistsException", f"there is a security profile {name} already")
        now = source.clock()
        source.kept.profiles.put(Written(name=name, document=document, created=now, modified=now))
    source.refresh()
    return {"securityProfileName": name, "securityProfileArn": arn_of_profile(name)}


def update_security_profile(source: Source, given: inputs.UpdateSecurityProfile) -> Answer:
    """Answer UpdateSecurityProfile: what is given replaces what was, what is not given stays."""
    with source.kept.profiles.alone():
        written = find_written(source, given.security_profile_name, given.expected_version)
        document = {**written.document, **document_of(given)}
        asked = msgspec.to_builtins(given)
        for member, key in DELETIONS.items():
            if asked.get(member):
                document.pop(key, None)
        changed = msgspec.structs.replace(
            written, document=check(document), version=written.version + 1, modified=source.clock()
        )
        source.kept.profiles.put(changed)
    source.refresh()
    return describe_written(changed)


def delete_security_profile(source: Source, given: inputs.DeleteSecurityProfile) -> Answer:
    """Answer DeleteSecurityProfile; its alarms are invalidated when Detect sees it."""
    with source.kept.profiles.alone():
        try:
            find_written(source, given.security_profile_name, given.expected_version)
        except Fault as fault:
            if fault.status == 404:  # as AWS: what is not there is deleted
                return {}
            raise
        source.kept.profiles.delete(given.security_profile_name)
    source.refresh()
    return {}


def attach_security_profile(source: Source, given: inputs.AttachSecurityProfile) -> Answer:
    """Answer AttachSecurityProfile."""
    target = name_target(given.security_profile_target_arn)
    with source.kept.profiles.alone():
        written = find_written(source, given.security_profile_name)
        rules = source.rules()
        if target != ALL_THINGS and (rules is None or target not in rules.groups):
            raise not_found(f"there is no thing group {target} in detect.thing_groups")
        if target not in written.targets:
            if sum(target in each.targets for each in source.attachments()) >= MOST_PER_TARGET:
                message = f"{target} has {MOST_PER_TARGET} security profiles already"
                raise Fault(410, "LimitExceededException", message)
            source.kept.profiles.put(msgspec.structs.replace(written, targets=[*written.targets, target]))
    source.refresh()
    return {}


def detach_security_profile(source: Source, given: inputs.DetachSecurityProfile) -> Answer:
    """Answer DetachSecurityProfile."""
    target = name_target(given.security_profile_target_arn)
    with source.kept.profiles.alone():
        written = find_written(source, given.security_profile_name)
        rest = [each for each in written.targets if each != target]
        source.kept.profiles.put(msgspec.structs.replace(written, targets=rest))
    source.refresh()
    return {}


def find_written(source: Source, name: str, version: int | None = None) -> Written:
    """Return a profile that was written by the API; raise a Fault if it is not, or of another version."""
    source.refresh()
    for written in source.kept.profiles.read():
        if written.name == name:
            if version not in (None, written.version):
                message = f"security profile {name} has version {written.version}, not {version}"
                raise Fault(409, "VersionConflictException", message)
            return written
    source.find(name)
    raise invalid(f"security profile {name} is in a file of the configuration (detect.profiles): change it there")


def document_of(given: Any) -> dict[str, Any]:
    """Return the profile's document that an input has, as far as it has it."""
    members = msgspec.to_builtins(given)
    return {key: value for key, value in members.items() if key in (*DESCRIBED, "tags") and value is not None}


def check(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document; raise a Fault with everything that AWS's rules do not allow of it."""
    problems = find_profile_problems(document)
    if problems:
        raise invalid("; ".join(problems))
    return document


def describe_written(written: Written) -> Answer:
    """Return what DescribeSecurityProfile has of a profile that was written by the API."""
    document: Mapping[str, Any] = written.document
    return {
        **{key: document[key] for key in DESCRIBED if key in document},
        "securityProfileArn": arn_of_profile(written.name),
        **dates_of(written),
    }
