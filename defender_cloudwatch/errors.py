"""The errors this package raises; each one's text is a sentence for the operator."""

from __future__ import annotations

from defender_daemon.errors import DefenderError


class CloudWatchError(DefenderError):
    """The root of this package's own errors: logged as one line, without a traceback."""


class CredentialsError(CloudWatchError):
    """There are no AWS credentials, or they are refused; says why, and what to do."""


class CallFailed(CloudWatchError):
    """AWS did not do what it was asked; `code` is its name for the reason, or the system's.

    `passing` says whether the same call may succeed later: throttling, a fault of the service or of the network.
    """

    def __init__(self, message: str, code: str = "", passing: bool = False) -> None:
        super().__init__(message)
        self.code, self.passing = code, passing
