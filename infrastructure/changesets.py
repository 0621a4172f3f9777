"""One stack brought to its template by a change set, watched until it is there, or rolled back."""

from __future__ import annotations

import contextlib
import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from infrastructure.account import Account
from infrastructure.deployed import TO_BE_REMOVED, DeployedStack, read_stack, refuse_busy
from infrastructure.errors import DeployError, Refused
from infrastructure.refusals import code_of, message_of, missing_permission, permission_sentence
from infrastructure.watch import LATEST, SLOWER, SOONEST, OnEvent, StackFailed, Watch

CAPABILITIES = ["CAPABILITY_IAM"]  # the role by which Detect publishes alerts
LARGEST_TEMPLATE = 51_200  # bytes, where it is sent along; a stack of things keeps below by its number of things
NO_CHANGES = re.compile("didn't contain changes|No updates are to be performed", re.IGNORECASE)
BUSY = ("OperationInProgressException", "InvalidChangeSetStatus", "ChangeSetNotFound", "AlreadyExistsException")
MEANWHILE = re.compile("IN_PROGRESS|already exist|does not exist|can ?not be updated", re.IGNORECASE)
REPLACED_WITH_CARE = ("AWS::IoT::Thing", "AWS::IoT::Certificate")  # a device is cut off by losing them


def apply_template(account: Account, name: str, template: str, before: DeployedStack | None, on_event: OnEvent) -> None:
    """Create or update a stack; raises StackFailed, Refused, or DeployError if another deployment came between.

    `before` is the stack as it was when the plan was shown: nothing that is not in the plan is removed or replaced.
    """
    if len(template.encode()) > LARGEST_TEMPLATE:
        raise DeployError(
            f"the stack {name} would have a template of {len(template.encode())} bytes, of which CloudFormation takes "
            f"{LARGEST_TEMPLATE}: let there be fewer security profiles, or shorter ones"
        )
    if before is not None and before.status in TO_BE_REMOVED:
        delete_stack(account, before, on_event)
        before = None
    update = before if before is not None and before.exists else None
    with _busy_told(name):
        change_set = _create_change_set(account, name, template, update is not None)
        if change_set is None:
            return
        try:
            _refuse_surprises(account, change_set, template, update)
            watch = Watch(account, change_set["StackId"], name, on_event)
            token = str(uuid.uuid4())  # so that a second try of boto3's is not taken for another deployment's
            account.cloudformation.execute_change_set(**_address(change_set), ClientRequestToken=token)
        except (ClientError, DeployError):
            _discard(account, change_set)
            raise
    watch.until_settled()
    watch.raise_unless("UPDATE_COMPLETE" if update else "CREATE_COMPLETE", "updated" if update else "created")


def delete_stack(account: Account, before: DeployedStack, on_event: OnEvent, retain: tuple[str, ...] = ()) -> None:
    """Delete a stack and all it holds but the logical ids to retain; raises StackFailed.

    `before` is the stack as it was when the plan was shown: DeployError if it holds anything else now. One that is
    gone already is no error.
    """
    now = read_stack(account, before.name)
    if now is None:
        return
    refuse_busy(now, account.region)
    if _changed(before, now):
        raise _busy(before.name)
    watch = Watch(account, now.id, now.name, on_event)
    with _busy_told(before.name):
        account.cloudformation.delete_stack(StackName=now.id, **({"RetainResources": list(retain)} if retain else {}))
    watch.until_settled()
    watch.raise_unless("DELETE_COMPLETE", "deleted")


def _create_change_set(account: Account, name: str, template: str, update: bool) -> Any:
    """Return a change set (as DescribeChangeSet does) that can be executed, None if there is nothing to change."""
    change_set_name = f"deploy-{uuid.uuid4()}"
    answer = account.cloudformation.create_change_set(
        StackName=name,
        ChangeSetName=change_set_name,
        ChangeSetType="UPDATE" if update else "CREATE",
        TemplateBody=template,
        Capabilities=CAPABILITIES,
    )
    change_set = _wait_for(account, {"StackName": name, "ChangeSetName": answer["Id"]})
    if change_set["Status"] != "FAILED":
        return change_set
    _discard(account, change_set)
    reason = change_set.get("StatusReason", "")
    if NO_CHANGES.search(reason):
        return None
    action = missing_permission(reason)
    if action:
        raise Refused(f"the stack {name} cannot be changed: {permission_sentence(action)}", action)
    raise StackFailed(name, "updated" if update else "created", [reason])


def _wait_for(account: Account, address: dict[str, str]) -> Any:
    pause = SOONEST
    while True:
        change_set = account.cloudformation.describe_change_set(**address)
        if change_set["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            return change_set
        time.sleep(pause)
        pause = min(pause * SLOWER, LATEST)


def _discard(account: Account, change_set: Any) -> None:
    """Delete a change set, which may be gone already."""
    with contextlib.suppress(ClientError):
        account.cloudformation.delete_change_set(**_address(change_set))


def _refuse_surprises(account: Account, change_set: Any, template: str, before: DeployedStack | None) -> None:
    """Raise DeployError if the change set does what the plan did not show.

    Either the stack has changed since (if it changes from now on, CloudFormation drops the change set by itself), or a
    thing or certificate is to be replaced although its key stays.
    """
    if before is None:
        return  # whatever is in the change set is new
    now = read_stack(account, before.name)
    if now is None or _changed(before, now):
        raise _busy(before.name)
    old, new = before.template.get("Resources", {}), json.loads(template)["Resources"]
    for change in _changes(account, change_set):
        logical_id, kind = change["LogicalResourceId"], change["ResourceType"]
        replaced = change.get("Replacement") in ("True", "Conditional") and kind in REPLACED_WITH_CARE
        if replaced and _request(old, logical_id) == _request(new, logical_id):
            raise DeployError(
                f"the stack {before.name} stays as it is: AWS would replace {logical_id} ({kind}), which was not asked "
                "for and cuts its device off"
            )


def _changed(before: DeployedStack, now: DeployedStack) -> bool:
    return (before.id, before.template) != (now.id, now.template)


def _request(resources: Mapping[str, Any], logical_id: str) -> Any:
    """Return the certificate signing request of a certificate; None for anything else."""
    return resources.get(logical_id, {}).get("Properties", {}).get("CertificateSigningRequest")


def _changes(account: Account, change_set: Any) -> Iterator[Any]:
    page = change_set
    while True:
        yield from (each["ResourceChange"] for each in page.get("Changes", []) if "ResourceChange" in each)
        if not page.get("NextToken"):
            return
        page = account.cloudformation.describe_change_set(**_address(change_set), NextToken=page["NextToken"])


def _address(change_set: Any) -> dict[str, str]:
    """Return what names a change set in a call: with its stack's name, by which permissions go."""
    return {"StackName": change_set["StackName"], "ChangeSetName": change_set["ChangeSetId"]}


@contextlib.contextmanager
def _busy_told(name: str) -> Iterator[None]:
    """Raise DeployError where AWS refuses because of what another deployment does, or did."""
    try:
        yield
    except ClientError as error:
        if code_of(error) in BUSY or MEANWHILE.search(message_of(error)):
            raise _busy(name) from error
        raise


def _busy(name: str) -> DeployError:
    return DeployError(
        f"the stack {name} was changed meanwhile, or is busy: another deployment is under way; run this again when it "
        "has ended"
    )
