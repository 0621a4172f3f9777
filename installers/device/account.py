"""The account that a service runs as on a Mac: hidden, powerless, with an id of its own, in the directory service.

macOS lets root create an account, but change or delete one only for a program with Full Disk Access. So what is there
is read first, and only what differs is created.
"""

from __future__ import annotations

import re
import time

from session import Session

LOWEST, HIGHEST = 400, 499  # ids below 500 are hidden; Apple takes those up to 300 and a little beyond
KNOWN_WITHIN = 15  # seconds in which a new account can be asked for by its name
TURN = 1.0  # seconds between two looks
REFUSED = "-14120"  # eDSPermissionError
FULL_DISK_ACCESS = (
    "macOS refuses it (-14120) to a program without Full Disk Access: allow it to Terminal, or for ssh to "
    "sshd-keygen-wrapper, in System Settings > Privacy & Security > Full Disk Access, and run this again"
)
MASKED = re.compile(r"\*+")  # what dscl shows of a password
POWERFUL = {"admin", "wheel"}


class Account:
    """An account and the group of its name."""

    def __init__(self, session: Session, name: str) -> None:
        self.session = session
        self.commands = session.commands
        self.name = name
        self.user, self.group = f"/Users/{name}", f"/Groups/{name}"

    def make(self) -> None:
        """Make the account, or complete it."""
        number = self._find_number()
        if not number:
            self.session.fail(f"there is no free id from {LOWEST} to {HIGHEST} for {self.name}")
        comment = self.session.product.comment
        group = {"PrimaryGroupID": number, "RealName": comment, "Password": "*"}
        user = {
            "UniqueID": number, "PrimaryGroupID": number, "RealName": comment, "NFSHomeDirectory": "/var/empty",
            "UserShell": "/usr/bin/false", "Password": "*", "IsHidden": "1",
        }  # fmt: skip
        for record, keys in {self.group: group, self.user: user}.items():
            for key, value in keys.items():
                self._give(record, key, value)
        self._wait_until_known(number)
        groups = (self.commands.ask_system("id", "-Gn", self.name) or "").split()
        if POWERFUL & {*groups}:
            self.session.fail(f"the account {self.name} must not be an administrator's")

    def _find_number(self) -> str:
        """Return the id that the account or its group has already, or one that neither an account nor a group has."""
        mine = self._read(self.user, "UniqueID") or self._read(self.group, "PrimaryGroupID")
        if mine:
            return mine
        ask = self.commands.ask_system
        lists = [ask("dscl", ".", "-list", *table) for table in (("/Users", "UniqueID"), ("/Groups", "PrimaryGroupID"))]
        taken = {line.split()[-1] for said in lists for line in (said or "").splitlines() if line.split()}
        return next((str(number) for number in range(LOWEST, HIGHEST + 1) if str(number) not in taken), "")

    def _give(self, record: str, key: str, value: str) -> None:
        """Give an account or a group, which is made if it is not there, a key with a value."""
        there = self._read(record, key)
        if there == value or (value == "*" and there and MASKED.fullmatch(there)):
            return
        if not self.commands.system("dscl", ".", "-create", record, key, value):
            refused = self.commands.said_lately(REFUSED)
            self.session.fail(f"dscl . -create {record} {key} did not work" + f": {FULL_DISK_ACCESS}" * refused)

    def _read(self, record: str, key: str) -> str:
        """Return a key's value, empty for none; a value with a space in it is on a line of its own."""
        said = self.commands.ask_system("dscl", ".", "-read", record, key) or ""
        found = re.search(rf"^(?:dsAttrType\w+:)?{key}:\s*(.*)", said, re.MULTILINE | re.DOTALL)
        return found[1].strip() if found else ""

    def _wait_until_known(self, number: str) -> None:
        """Wait for others to hear by name what the directory service was told a moment ago."""
        for turn in range(KNOWN_WITHIN + 1):
            if self.session.dry_run or self._is_known(number):
                return
            if turn < KNOWN_WITHIN:
                time.sleep(TURN)
        self.session.fail(f"the account {self.name} was made, but is not known yet: run this again")

    def _is_known(self, number: str) -> bool:
        if not self.commands.has("id"):
            return True
        return (self.commands.ask_system("id", "-u", self.name) or "").strip() == number
