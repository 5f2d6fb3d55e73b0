"""Training with Lightning: module, data module, schedule, run folders and the command line."""
