"""The command user: as whom the configuration's commands run where root asks on behalf of the service.

An operator asks an installed program as root, whose configuration may have come with a bundle. So its commands run as
the service's own user, as they do in the service: they show what the service sees, and are no commands of root's.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from typing import NamedTuple

VARIABLE = "AMAZON_DEFENDER_COMMANDS_AS"  # set by the command that the installers write
NOBODY = 65534  # where the service's user is gone; nobody's number on Linux, and nobody at all elsewhere


class CommandUser(NamedTuple):
    """What `subprocess` is given; None for the user that this process has."""

    user: int | None = None
    group: int | None = None
    extra_groups: list[int] | None = None


def command_user(environment: Mapping[str, str] = os.environ) -> CommandUser:
    """Return as whom commands run: the same user, unless root asks for a service with a user of its own."""
    name = environment.get(VARIABLE)
    if not name or os.geteuid() != 0:
        return CommandUser()
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        return CommandUser(NOBODY, NOBODY, [])
    return CommandUser(account.pw_uid, account.pw_gid, [])
