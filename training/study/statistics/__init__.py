"""Learning curves of a study: laws, intervals, crossings and needs, as arrays in and plain dataclasses out."""
