"""Decides whether a report is accepted or rejected, and says why."""
