"""Secrets: passwords and tokens that are in no configuration, but in a file of their own or a credential of systemd."""

import logging
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Optional

import msgspec
from msgspec import Meta

from defender_detect.errors import AlertSettingError, CredentialElsewhere
from device_defender.definition import PATH, SECRET, that

LONGEST = 64 * 1024  # bytes; systemd's credentials have a few more
DIRECTORY = "CREDENTIALS_DIRECTORY"  # the variable in which systemd says where credentials are
NAME = re.compile(r"[A-Za-z0-9._-]{1,255}")
OTHERS = stat.S_IRGRP | stat.S_IROTH

File = Annotated[str, PATH, Meta(min_length=1, max_length=1024)]

log = logging.getLogger(__name__)


def is_file_name(text: str) -> bool:
    """Tell whether a credential can have a name."""
    return bool(NAME.fullmatch(text)) and text not in (".", "..")


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret is: exactly one of these."""

    file: Optional[File] = None
    """A file that has nothing else."""
    credential: Optional[Annotated[str, that(is_file_name, "a name of a-z A-Z 0-9 . _ -")]] = None
    """A credential of systemd: `LoadCredential=NAME:FILE` in the unit."""

    def read(self) -> str:
        """Return the secret; raise AlertSettingError with what to do if that cannot be."""
        path, what = self._place()
        try:
            with open(path, "rb") as file:
                self._warn_of_readers(file.fileno(), path)
                content = file.read(LONGEST + 1)
        except OSError as error:
            raise AlertSettingError(f"{what} cannot be read: {error.strerror}") from error
        try:
            text = content.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError:
            text = "\n"
        if not text or not text.isprintable() or len(content) > LONGEST:
            raise AlertSettingError(f"{what} must have one line of text and nothing else")
        return text

    def _place(self) -> tuple[Path, str]:
        if self.credential is None:
            return Path(self.file or ""), f"the secret {self.file}"
        directory, what = os.environ.get(DIRECTORY), f"the credential {self.credential}"
        if not directory:
            raise CredentialElsewhere(
                f"{what} cannot be read: ${DIRECTORY} is not set; systemd sets it for a unit with "
                f"LoadCredential={self.credential}:FILE"
            )
        return Path(directory) / self.credential, what

    def _warn_of_readers(self, descriptor: int, path: Path) -> None:
        if self.file is not None and os.fstat(descriptor).st_mode & OTHERS:
            log.warning("the secret %s can be read by others than its owner: chmod 600 %s", path, path)


def secret_problems(secret: Secret, path: str) -> Iterator[str]:
    """Yield what is wrong with a secret as the configuration has it."""
    if (secret.file is None) is (secret.credential is None):
        found = "neither" if secret.file is None else "both"
        yield f"{path} must have either file or credential, got {found}"


def revealed(value: "str | Secret") -> str:
    """Return a text that is either in the configuration or elsewhere."""
    return value.read() if isinstance(value, Secret) else value


Elsewhere = Annotated[Secret, SECRET, that(None, 'an object with either "file" or "credential"')]
