"""What the programs that run for long share, on a device and beside Detect; it imports nothing of theirs."""

# /opt/aws/<name>, as the CloudWatch agent and publisher have it
PROGRAM_DIRECTORY = "/opt/aws/amazon-defender-publisher"
DEFAULT_CONFIG_FILE = PROGRAM_DIRECTORY + "/etc/amazon-defender-publisher.json"
LONGEST_YEAR = 366 * 86_400  # seconds; what waits for longer than 292 years is an error to the system
