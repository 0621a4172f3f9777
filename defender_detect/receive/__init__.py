"""Receives reports: as an MQTT client of a broker, or as the built-in broker."""
