"""The authority: who issues the certificates by which Detect and its things know each other, and keeps the record."""
