"""The watcher: who wants to know how the connection is and what becomes of the reports."""

from __future__ import annotations


class Watcher:
    """Takes no notice of anything; one that does overrides what it wants to know."""

    def connected(self) -> None:
        """Note that there is a connection from now on."""

    def disconnected(self) -> None:
        """Note that there is none any more."""

    def reported(self, report_id: int, verdict: str, seconds: float | None = None) -> None:
        """Note a report's verdict ("accepted", "delivered", "rejected: CODE" or "unanswered") and its seconds."""

    def failed(self) -> None:
        """Note that no report could be made."""

    def next_report(self, seconds: float | None) -> None:
        """Note in how many seconds the next report is due; None while it waits for a connection."""
