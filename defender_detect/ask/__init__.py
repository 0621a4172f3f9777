"""Answers questions about what is stored, and replays reports from a file."""
