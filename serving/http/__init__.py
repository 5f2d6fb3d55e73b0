"""HTTP as this server speaks it: connections, limits, bodies, errors, logs."""
