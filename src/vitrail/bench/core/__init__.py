"""What all benchmarks share: alternating rounds, the report and its machine, tables."""
