"""Detect on a local cluster of Apache Flink, on loopback only: the demo, the tests' clusters and the benchmark's."""
