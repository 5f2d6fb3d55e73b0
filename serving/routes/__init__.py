"""What the server answers, one file a route."""
