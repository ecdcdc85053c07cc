"""What the tests of `onnxq.measure` share: Q/DQ models as text, and the engine's optimizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest

Optimize = Callable[..., onnx.ModelProto]


@pytest.fixture
def optimize(tmp_path: Path) -> Optimize:
    """Write the graph that ONNX Runtime runs for a model, at the extended level or at all."""

    def run(model: onnx.ModelProto, *, everything: bool = False) -> onnx.ModelProto:
        levels = ort.GraphOptimizationLevel
        options = ort.SessionOptions()
        options.graph_optimization_level = (
            levels.ORT_ENABLE_ALL if everything else levels.ORT_ENABLE_EXTENDED
        )
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        options.log_severity_level = 4
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(tmp_path / "optimized.onnx")

    return run


class QdqText:
    """Builds the ONNX text of a Q/DQ model, line by line."""

    def __init__(self) -> None:
        self.constants: list[str] = []
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def quantize(
        self, tensor: str, *, zero: int = 128, scale: float = 0.02, dtype: str = "uint8"
    ) -> str:
        """Quantize and dequantize a tensor; return the name of the result."""
        self.constants += [f"float {tensor}_s = {{{scale}}}", f"{dtype} {tensor}_z = {{{zero}}}"]
        parameters = f"{tensor}_s, {tensor}_z"
        self.line(f"[{tensor}_Q] {tensor}_q = QuantizeLinear({tensor}, {parameters})")
        self.line(f"[{tensor}_DQ] {tensor}_dq = DequantizeLinear({tensor}_q, {parameters})")
        return f"{tensor}_dq"

    def weight(
        self,
        name: str,
        shape: tuple[int, ...],
        axis: int,
        dtype: str = "int8",
        *,
        zero_point: bool = True,
    ) -> str:
        """A per-channel weight behind DequantizeLinear; return the name of its float tensor."""
        count = 1
        for size in shape:
            count *= size
        codes = ", ".join(str((7 * i) % 15 - 7) for i in range(count))
        dims = ",".join(map(str, shape))
        scales = ", ".join(str(0.01 + 0.001 * i) for i in range(shape[axis]))
        self.constants += [
            f"{dtype}[{dims}] {name}_q = {{{codes}}}",
            f"float[{shape[axis]}] {name}_s = {{{scales}}}",
        ]
        inputs = f"{name}_q, {name}_s"
        if zero_point:
            zeros = ", ".join("0" for _ in range(shape[axis]))
            self.constants.append(f"{dtype}[{shape[axis]}] {name}_z = {{{zeros}}}")
            inputs += f", {name}_z"
        self.line(f"[{name}_DQ] {name} = DequantizeLinear<axis = {axis}>({inputs})")
        return name

    def conv(self, name: str, data: str, *, bias: str = "") -> str:
        """A 1x1 convolution of 4 channels; its output is called `<name>_out`."""
        weight = self.weight(f"{name}_w", (4, 4, 1, 1), 0)
        inputs = ", ".join(filter(None, (data, weight, bias)))
        self.line(f"[{name}] {name}_out = Conv<kernel_shape = [1, 1]>({inputs})")
        return f"{name}_out"

    def model(self, inputs: str, outputs: str) -> onnx.ModelProto:
        constants = ", ".join(self.constants)
        body = "\n".join(self.lines)
        text = f"""<ir_version: 10, opset_import: ["": 21]>
            g ({inputs}) => ({outputs}) <{constants}> {{ {body} }}"""
        return onnx.parser.parse_model(text)


@pytest.fixture
def qdq() -> QdqText:
    return QdqText()
