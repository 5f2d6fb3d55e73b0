"""The verbs of the command, one file each; heavy imports stay inside functions."""
