"""Operators that exporters spell with several smaller ones.

Left as they are, since ONNX Runtime runs them faster than the operator (1.31): log(1 + e^x),
5 times as fast as Softplus; Selu and Mish by their parts; sums of squares under a root.
"""
