"""Several processes: fronts accept, parse and decode, an engine computes, and a hub starts and replaces them."""
