"""Benchmarks beside peers, in one run on one machine; imported by the `bench` command alone."""

import os

# As in training: spinning OpenMP threads of torch slow down tenfold beside any other program. Our own file runs without
# spinning threads, so torch does too; it reads this when it is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
