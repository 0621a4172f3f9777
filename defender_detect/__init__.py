"""The vocabulary of amazon-defender-detect, the receiving side of Device Defender that runs anywhere."""

__version__ = "0.1.0"
