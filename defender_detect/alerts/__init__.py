"""Alerts: tells every target of an alarm that begins or ends."""
