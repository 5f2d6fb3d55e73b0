"""The sections of a report: each turns results into text and tables."""
