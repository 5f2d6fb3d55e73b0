"""HTTP: connections, limits, bodies, errors, logs."""
