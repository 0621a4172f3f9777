"""The command user: as whom the configuration's commands run where root asks, or is the daemon.

A configuration may have come with a bundle, and no command that it names is root's. So its commands run as the
service's own user where root asks an installed program, as they do in the service: they show what the service sees.
Where root runs the program otherwise, out of a checkout for instance, they run as nobody.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

VARIABLE = "AMAZON_DEFENDER_COMMANDS_AS"  # set by the command that the installers write; `root` by whoever means it
NOBODY = "nobody"
NOBODYS_NUMBER = 65534  # where the service's user is gone; nobody's number on Linux, and nobody at all elsewhere
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # root's own may lead where nobody can look
HANDED_ON = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")  # of root's environment, which may hold secrets


class CommandUser(NamedTuple):
    """What `subprocess` is given; None for the user that this process has."""

    user: int | None = None
    group: int | None = None
    extra_groups: list[int] | None = None
    environment: dict[str, str] | None = None
    name: str = NOBODY

    def __str__(self) -> str:
        """Who it is, to go on a sentence about a command with; empty where it is the user that this process has."""
        if self.user is None:
            return ""
        return f" as {self.name}, because root runs no command of a configuration unless {VARIABLE}=root says so"

    def start(self, command: str | Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a command without input, its output piped, in a session of its own; raises what Popen raises.

        That is away from root's terminal, into which a lesser user could type, and lets `end` end all that it started.
        """
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            user=self.user, group=self.group, extra_groups=self.extra_groups, env=self.environment, **options,
        )  # fmt: skip


def end(process: subprocess.Popen[Any]) -> None:
    """End a command that was started so, with all that it started, unless it has ended and its end is known."""
    if process.returncode is None:  # not reaped, so its id cannot be another group's yet
        with suppress(ProcessLookupError, PermissionError):  # macOS: PermissionError for a group of zombies
            os.killpg(process.pid, signal.SIGKILL)


def command_user(environment: Mapping[str, str] = os.environ) -> CommandUser:
    """Return as whom commands run: the same user, unless that is root, who runs them as a lesser one."""
    if os.geteuid() != 0:
        return CommandUser()
    given = {name: environment[name] for name in HANDED_ON if name in environment}
    try:
        account = pwd.getpwnam(environment.get(VARIABLE) or NOBODY)
    except KeyError:
        return CommandUser(NOBODYS_NUMBER, NOBODYS_NUMBER, [], {**given, "PATH": PATH, "HOME": "/"})
    if account.pw_uid == 0:
        return CommandUser()  # it was said in so many words, and by no file
    own = {"PATH": PATH, "HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}
    return CommandUser(account.pw_uid, account.pw_gid, [], {**given, **own}, account.pw_name)
