"""Stores reports, alarms and states in SQLite, and reads them."""
