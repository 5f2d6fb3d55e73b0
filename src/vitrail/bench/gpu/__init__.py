"""`vitrail bench gpu`: everything that needs a GPU, in one run of bounded time."""
