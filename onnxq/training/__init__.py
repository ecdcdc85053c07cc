"""Fine-tuning of ONNX models in torch."""

from onnxq.training._requirement import TORCH_VERSION
from onnxq.training.agreement import check_agreement, run_arrays
from onnxq.training.batch_norm import BatchNormMode
from onnxq.training.importing import to_torch
from onnxq.training.module import TorchModel
from onnxq.training.output_gradients import output_gradients
from onnxq.training.transforms import Transform
from onnxq.training.write_back import write_back

__all__ = [
    "TORCH_VERSION",
    "BatchNormMode",
    "TorchModel",
    "Transform",
    "check_agreement",
    "output_gradients",
    "run_arrays",
    "to_torch",
    "write_back",
]
