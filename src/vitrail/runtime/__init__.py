"""onnxruntime and TensorRT on this machine: wheel, provider, cores."""
