"""The faults: what the API answers instead, by AWS's names."""

from __future__ import annotations


class Fault(Exception):
    """An error as AWS answers it: its status, its name and a sentence."""

    def __init__(self, status: int, name: str, message: str) -> None:
        super().__init__(message)
        self.status, self.name = status, name


def invalid(message: str) -> Fault:
    """Return the fault of a request that breaks a rule."""
    return Fault(400, "InvalidRequestException", message)


def not_found(message: str) -> Fault:
    """Return the fault of a request for what is not there."""
    return Fault(404, "ResourceNotFoundException", message)


def not_signed(message: str) -> Fault:
    """Return the fault of a request whose signature is missing or wrong."""
    return Fault(403, "IncompleteSignatureException" if "missing" in message else "InvalidSignatureException", message)
