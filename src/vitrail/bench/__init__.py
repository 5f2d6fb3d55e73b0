"""Benchmarks beside peers, in one run on one machine; imported by the `bench` command alone."""
