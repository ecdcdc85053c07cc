"""Operators that ONNX Runtime runs faster spelled out, spelled out."""
