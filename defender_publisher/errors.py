"""The errors this package raises; each one's text is a sentence for the operator."""

from __future__ import annotations

from defender_daemon.errors import ConfigError, DefenderError, HungError, Problem

__all__ = [
    "CollectError",
    "ConfigError",
    "DefenderError",
    "GivenUp",
    "HungError",
    "NoVerdict",
    "NotConnected",
    "NotLetIn",
    "NotValidNow",
    "Problem",
    "Rejected",
    "SubscriptionRefused",
    "TooSoon",
    "TransportError",
]


class CollectError(DefenderError):
    """A value could not be measured, so its block is left out of the report (never sent as zero)."""


class TransportError(DefenderError):
    """A report did not reach Device Defender, or nobody said that it did; a later one may."""


class NotConnected(TransportError):
    """There is no connection now, and the report was not sent; the transport is working on a connection."""


class NotValidNow(TransportError):
    """The certificate is not valid at the time that this device's clock shows; no connection was tried."""


class NotLetIn(TransportError):
    """The broker was reached and does not let us in; `outspoken` says whether it said so, or just hung up."""

    def __init__(self, says: str, advice: str = "", *, outspoken: bool = False) -> None:
        super().__init__(says, advice)
        self.outspoken = outspoken


class SubscriptionRefused(TransportError):
    """The broker let us in, and did not let us subscribe to the topics on which reports are answered."""


class NoVerdict(TransportError):
    """The report was sent, and neither accepted nor rejected arrived in time.

    `healthy` says whether the broker still answered after that, so that it had the report.
    """

    def __init__(self, says: str, advice: str = "", *, healthy: bool = False) -> None:
        super().__init__(says, advice)
        self.healthy = healthy


class Rejected(DefenderError):
    """Device Defender refused the report; `code` and `message` are its own words."""

    def __init__(self, report_id: int, code: str, message: str) -> None:
        super().__init__(self._says(report_id, code, message))
        self.report_id = report_id
        self.code = code
        self.message = message

    @staticmethod
    def _says(report_id: int, code: str, message: str) -> str:
        return f"report {report_id} rejected: {code}: {message}"

    @property
    def throttled(self) -> bool:
        """Whether the report was refused only because it came too soon after the last one."""
        return self.code == "Throttled"


class TooSoon(Rejected):
    """A report that came too soon after one that this device sent before it was started: a proof that the way works."""

    @staticmethod
    def _says(report_id: int, code: str, message: str) -> str:
        return (
            f"report {report_id} throttled: the connection works, and a report of this thing from before the start is "
            "less than 300 s old"
        )


class GivenUp(Rejected):
    """A report that Device Defender will never accept, so that what it held is not sent again."""
