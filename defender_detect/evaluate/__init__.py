"""Evaluates security profiles: from an accepted report to alarms."""
