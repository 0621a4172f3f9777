"""The vocabulary of amazon-defender-publisher, the agent for AWS IoT Device Defender."""

__version__ = "0.1.0"
