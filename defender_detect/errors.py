"""The errors this package raises; each one's text is a sentence for the operator."""

from __future__ import annotations


class DetectError(Exception):
    """The root of this package's own errors: logged as one line, without a traceback."""


class Malformed(DetectError):
    """A report breaks one of the published rules; the text says where, which one, and what was found."""


class CredentialsError(DetectError):
    """A certificate, key or certificate authority can not be used, or the other side does not trust it."""


class BrokerError(DetectError):
    """The embedded broker can not start."""


class BrokerUnavailable(DetectError, ImportError):
    """The embedded broker can not be imported here: too old a Python, or its package is missing."""
