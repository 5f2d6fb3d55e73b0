"""`vitrail bench serve` and `soak`: our server and its peers under load, each in its own process."""
