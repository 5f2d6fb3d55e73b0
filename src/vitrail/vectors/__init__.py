"""Pictures as sets of vectors."""
