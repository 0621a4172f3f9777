"""The errors this package raises; each one's text is a sentence for the operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

E = TypeVar("E", bound=Exception)


class DetectError(Exception):
    """The root of this package's own errors: logged as one line, without a traceback."""


class CredentialsError(DetectError):
    """A certificate, key or certificate authority cannot be used, or the other side does not trust it."""


class AuthorityError(DetectError):
    """The authority cannot do what it was asked for; nothing is half done, and the same command may be run again."""


class RequestRefused(DetectError):
    """A thing's request for a certificate is refused, with what AWS's fleet provisioning answers."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class BrokerError(DetectError):
    """The built-in broker cannot start."""


class BrokerUnavailable(DetectError, ImportError):
    """The built-in broker cannot be imported here: too old a Python, or its package is missing."""


class ClientError(DetectError):
    """A client of the built-in broker breaks a rule, which ends its connection; the text goes on after its name."""


class ProfileError(DetectError):
    """Security profiles that break AWS's rules; `problems` has a sentence for each of the places."""

    def __init__(self, problems: list[str]) -> None:
        """Join the problems; one is one line, several are as many."""
        super().__init__("\n".join(problems))
        self.problems = problems


class ConfigError(ProfileError):
    """A configuration that cannot be used; `problems` has a sentence for each of the places."""


class StoreError(DetectError):
    """What Detect keeps cannot be opened: another Detect has it, or the directory or the database is not usable."""


class StoreUnavailable(StoreError):
    """The disk takes nothing now: trying again may help."""


class NothingKept(DetectError):
    """A question is about a thing or a metric of which nothing is kept."""


class AlertError(DetectError):
    """An alert could not be handed over; trying again may help, after `wait` seconds where the other side said so."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class AlertRefused(AlertError):
    """An alert will never be taken, however often it is tried."""


class AlertSettingError(DetectError):
    """An alert's target cannot be what it was set to."""


class VerdictError(DetectError):
    """What a violation is said to be is no verification state, or its description breaks AWS's rules."""


class ListenError(DetectError):
    """An address cannot be listened on, or not safely."""


class CredentialElsewhere(AlertSettingError):
    """A secret is a credential that systemd hands to the service and to nobody else, such as whoever checks."""


def all_of(problems: Sequence[E]) -> E:
    """Return several errors as one, a line each, of the first one's kind."""
    return type(problems[0])("\n".join(map(str, problems)))
