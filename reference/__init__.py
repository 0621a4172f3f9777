"""Writes what docs/reference and configs/schema.json take from the definitions (`make docs`)."""
