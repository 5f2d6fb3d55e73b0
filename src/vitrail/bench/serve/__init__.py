"""`vitrail bench serve` and `soak`: our server and its peers under load, as processes that know nothing of it."""
