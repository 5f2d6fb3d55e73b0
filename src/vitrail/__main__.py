"""`python -m vitrail` is the command `vitrail`."""

from vitrail.cli import entry

entry()
