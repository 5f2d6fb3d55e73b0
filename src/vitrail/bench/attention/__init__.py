"""`vitrail bench attention`: time and memory of every mechanism against the number of vectors."""

import os

# torch's profiler tells of its own work on stderr, which is for progress; it reads this when it is first loaded.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
