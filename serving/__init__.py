"""The HTTP endpoint: one model behind BentoML, with a surface of our own."""
