"""Benchmarks: what a report costs, side by side with other ways to make one."""
