"""Interfaces that teams know from other tools, over ONNX models."""

from onnxq.compat.golden_stick import QuantDtype
from onnxq.helpers.golden_stick import SimulatedQuantizationAwareTraining

__all__ = ["QuantDtype", "SimulatedQuantizationAwareTraining"]
