"""The vocabulary of amazon-defender-publisher, the agent for AWS IoT Device Defender."""

__version__ = "0.1.0"

# /opt/aws/<name>, as the CloudWatch agent and publisher have it
PROGRAM_DIRECTORY = "/opt/aws/amazon-defender-publisher"
DEFAULT_CONFIG_FILE = PROGRAM_DIRECTORY + "/etc/amazon-defender-publisher.json"
