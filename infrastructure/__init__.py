"""What deploy.py provisions in an AWS account, and how; nothing of it is ever on a device."""
