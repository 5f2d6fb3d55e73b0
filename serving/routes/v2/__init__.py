"""The Open Inference Protocol, version 2, for clients of Triton and KServe."""
