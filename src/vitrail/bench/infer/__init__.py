"""`vitrail bench infer`: one network, many ways to compute it, measured in one run."""
