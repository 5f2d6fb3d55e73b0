"""Statistics of learning curves: laws, intervals, crossings, images needed; arrays in, plain dataclasses out."""
