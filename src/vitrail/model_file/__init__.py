"""A model.onnx as its users hold it: card, seal, golden check, classifier, explainer (no torch)."""
