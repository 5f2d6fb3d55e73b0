"""Training with Lightning: module, data module, schedule, run folders and the command line."""

import os
import sys

# Threads of torch's OpenMP wait for each other by spinning. Where another program uses a core, a small network then
# trains ten times slower; after this many spins (read when torch is first imported) a thread sleeps instead.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# Lightning's own progress bars, such as the learning rate finder's, are drawn with control characters.
if not sys.stderr.isatty():
    os.environ.setdefault("TQDM_DISABLE", "1")
