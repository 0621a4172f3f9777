"""The ground floor: what AWS documents of Device Defender, defined once; it imports nothing of this project."""
