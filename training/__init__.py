"""Training with Lightning: module, data module, schedule, run folders and the command line."""

import os
import sys

# Threads of torch's OpenMP wait for each other by spinning. Where another program holds a core, a small network then
# learns ten times slower; after so many turns (it reads this when torch is first imported) a thread sleeps instead.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# Bars of Lightning's own, such as the learning rate finder's, are drawn with control characters.
if not sys.stderr.isatty():
    os.environ.setdefault("TQDM_DISABLE", "1")
