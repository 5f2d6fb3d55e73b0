"""`vitrail bench python`: time of `import vitrail`, `vitrail.load` and predictions on arrays."""
