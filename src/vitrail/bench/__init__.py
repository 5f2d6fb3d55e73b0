"""Measuring ourselves beside peers, in one run on one machine; imported by nobody but its command."""

import os

# As in training: threads of torch's OpenMP that spin for ever suffer tenfold from any other program. Our own file runs
# with threads that do not spin, so torch is spared the same; it reads this when it is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
