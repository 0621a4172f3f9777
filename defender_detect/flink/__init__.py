"""Detect as a job of Apache Flink, for fleets that outgrow one machine; only `graph` and `functions` import pyflink."""
