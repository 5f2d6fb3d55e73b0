"""The HTTP endpoint: one model, served by BentoML with our own routes."""
