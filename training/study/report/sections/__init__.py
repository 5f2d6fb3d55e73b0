"""The sections of a report: each turns what was found into words and tables."""
