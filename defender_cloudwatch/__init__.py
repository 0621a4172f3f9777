"""The CloudWatch publisher's job: a device's metrics and logs to Amazon CloudWatch, by the device's certificate."""

__version__ = "0.1.0"
