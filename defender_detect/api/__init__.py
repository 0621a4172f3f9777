"""Answers AWS IoT's own API for Detect, so that boto3, the AWS CLI and scripts work with --endpoint-url."""
