"""ONNX Runtime: the execution provider, sessions of bundles, and what to compare them with."""
