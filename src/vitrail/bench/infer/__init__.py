"""`vitrail bench infer`: one network, computed in many ways."""
