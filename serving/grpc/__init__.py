"""The Open Inference Protocol over gRPC, beside HTTP, where it is asked for."""
