"""Whether a Greengrass nucleus of this machine uses the client ID that reports go out under."""

from __future__ import annotations

from pathlib import Path

from defender_daemon.ladder import Doubted, NotTried
from defender_daemon.nucleus import find_nucleus
from defender_publisher.doctor.case import Case
from defender_publisher.endpoint import is_aws

ROOT = Path("/")
USE_THE_COMPONENT = (
    "report by the Greengrass component instead, docs/how-to/run-on-greengrass.md, and remove this service"
)


def look_for_nucleus(case: Case) -> str:
    """See that no nucleus has the same client ID at AWS IoT: each would disconnect the other."""
    nucleus, client_id = find_nucleus(ROOT), case.settings.agent.client_id
    if nucleus is None:
        return "none here"
    if nucleus.thing_name is None:
        raise NotTried(f"there is a {nucleus}, whose thing name cannot be read; it must not be {client_id}")
    if nucleus.thing_name != client_id:
        return f"the {nucleus} is {nucleus.thing_name}, another client ID"
    host = case.link.host
    if not is_aws(host):
        return f"the {nucleus} has this client ID, {client_id}, at AWS IoT, which {host} is not"
    if not nucleus.serves:
        return f"the {nucleus} has this client ID, {client_id}, but is not enabled"
    says = (
        f"the {nucleus} uses this client ID too, {client_id}: at one broker each disconnects the other, again and again"
    )
    raise Doubted(says, USE_THE_COMPONENT)
