"""`vitrail bench python`: what `import vitrail` and `vitrail.load` cost beside onnxruntime alone."""
