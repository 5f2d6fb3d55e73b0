"""`vitrail bench attention`: time and memory of every mechanism against the number of vectors."""

import os

# Keeps torch's profiler from logging to stderr, which is for progress; it reads this when it is first loaded.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
