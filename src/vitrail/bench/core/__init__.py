"""What all benchmarks share: rounds that alternate, the machine, columns, peers as processes."""
