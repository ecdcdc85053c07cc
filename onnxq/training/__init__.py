"""Fine-tuning of ONNX models in torch."""
