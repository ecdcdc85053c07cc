"""What the tests of translators share: a network with torch's names, and looks at results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.parser import parse_model

from onnxq.compat import Translation, translate
from onnxq.config import Config
from onnxq.graph import Model, load
from onnxq.plan import Plan
from onnxq.workflow import compress, plan_only, prune, quantize, sparsify

ROOT = Path(__file__).parents[2]

_SHAPES = {
    "stem.conv": (32, 3, 3, 3),
    "blocks.0.conv1": (64, 32, 3, 3),
    "blocks.0.conv2": (32, 64, 3, 3),
    "classify": (10, 32),
}
STEM, FIRST, SECOND = (
    "/stem/conv/Conv",
    "/blocks/blocks.0/conv1/Conv",
    "/blocks/blocks.0/conv2/Conv",
)
DENSE = "/classify/Gemm"


def _network() -> onnx.ModelProto:
    """Three convolutions and a dense layer, named as torch's exporter names them."""
    made = helper.make_node
    nodes = [
        made("Conv", ["image", "stem.conv.weight"], ["s"], STEM, pads=[1, 1, 1, 1]),
        made("Relu", ["s"], ["stem_out"], "/stem/relu/Relu"),
        made("Conv", ["stem_out", "blocks.0.conv1.weight"], ["c"], FIRST, pads=[1, 1, 1, 1]),
        made("Relu", ["c"], ["first_out"], "/blocks/blocks.0/relu/Relu"),
        made("Conv", ["first_out", "blocks.0.conv2.weight"], ["second_out"], SECOND),
        made("GlobalAveragePool", ["second_out"], ["p"], "/pool/GlobalAveragePool"),
        made("Flatten", ["p"], ["features"], "/flatten/Flatten"),
        made("Gemm", ["features", "classify.weight", "classify.bias"], ["scores"], DENSE, transB=1),
    ]
    generator = np.random.default_rng(0)
    weights = {f"{name}.weight": shape for name, shape in _SHAPES.items()}
    stored = [
        numpy_helper.from_array((0.2 * generator.standard_normal(s)).astype(np.float32), n)
        for n, s in {**weights, "classify.bias": (10,)}.items()
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@dataclass(frozen=True)
class Outcome:
    """A model that a translated configuration led to."""

    model: Model

    def weight(self, node: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Element type of a layer's weight as stored, and the shape of its scale; () if float."""
        (found,) = [n for n in self.model.nodes if n.name == node]
        source = found.inputs[1]
        if not source.inputs:
            return source.stored.dtype, ()
        codes, scale = source.inputs[0].inputs[:2]
        return codes.dtype, tuple(scale.values.shape)

    def values(self, node: str) -> np.ndarray:
        """A layer's weight as it is stored."""
        (found,) = [n for n in self.model.nodes if n.name == node]
        source = found.inputs[1]
        return np.asarray((source.inputs[0].inputs[0] if source.inputs else source).values)

    def channels(self, node: str) -> int:
        """Output channels of a layer."""
        return int(self.values(node).shape[0])


class Workshop:
    """Translates texts for the network, and carries them out."""

    def __init__(self, folder: Path, proto: onnx.ModelProto) -> None:
        self.folder, self.model = folder, load(proto)
        self.made: dict[tuple[str, str], Outcome] = {}
        generator = np.random.default_rng(1)
        self.data = {"image": generator.standard_normal((24, 3, 8, 8)).astype(np.float32)}

    def translated(self, text: str, name: str = "x.cfg") -> Translation:
        found = translate(text, name, self.model)
        assert found is not None
        return found

    def config(self, text: str, name: str = "x.cfg") -> Config:
        return self.translated(text, name).config

    def plan(self, text: str, name: str = "x.cfg") -> Plan:
        return plan_only(self.model, self.config(text, name))[0]

    def quantized(self, text: str, name: str = "x.cfg") -> Outcome:
        """Without training: what is written into the file is then exactly what was asked for."""
        key = (text, name)
        if key not in self.made:
            config = self.config(text, name)
            made = quantize(self.model, calibration=self.data, config=config, verify=False)
            self.made[key] = Outcome(made.model)
        return self.made[key]

    def pruned(self, text: str) -> Outcome:
        config = self.config(text)
        made = prune(self.model, calibration=self.data, config=config, verify=False)
        return Outcome(made.model)

    def sparsified(self, text: str) -> Outcome:
        config = self.config(text)
        made = sparsify(self.model, calibration=self.data, config=config, verify=False)
        return Outcome(made.model)

    def compressed(self, config: Config, steps: int = 2) -> Outcome:
        """Everything, with a short training."""
        assert config.finetune is not None
        short = {"steps": steps, "batch": 8, "evaluations": 1, "epochs": None}
        tuned = config.finetune.model_copy(update=short)
        whole = config.model_copy(update={"finetune": tuned})
        return Outcome(compress(self.model, calibration=self.data, config=whole).model)

    def grids(self, text: str, name: str = "x.cfg") -> dict[str, tuple[float, int, str]]:
        """Scale, zero point and type of every QuantizeLinear of the quantized model, by tensor."""
        outcome = self.quantized(text, name)
        found = {}
        for node in outcome.model.nodes:
            if node.op == "QuantizeLinear":
                scale, zero = (t.values for t in node.inputs[1:3])
                found[node.inputs[0].name] = (float(scale), int(zero), str(zero.dtype))
        return found


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The network and its data."""
    return Workshop(tmp_path_factory.mktemp("compat"), _network())


_BRANCHING = """
<ir_version: 8, opset_import: ["" : 17]>
branching (float[N,4] image) => (float[N,4] scores) {
    [left] a = MatMul (image, V)
    [right] b = MatMul (image, W)
    [sum] scores = Add (a, b)
}
"""


@pytest.fixture
def branching() -> Any:
    """Translates AMCT texts for a model in which two layers read one tensor."""
    proto = parse_model(_BRANCHING)
    for name in ("V", "W"):
        proto.graph.initializer.append(numpy_helper.from_array(np.eye(4, dtype=np.float32), name))
    return lambda text: translate(text, "x.cfg", load(proto))


@dataclass(frozen=True)
class Digits:
    """The sample network, with digits to calibrate and to test it."""

    model: Model
    calibration: dict[str, np.ndarray]
    images: np.ndarray
    labels: np.ndarray


@pytest.fixture(scope="session")
def digits() -> Digits:
    """The sample that reads digits."""
    folder = ROOT / "samples" / "digits"
    seen = {"image": np.load(folder / "calibration.npz")["image"][:32]}
    test = np.load(folder / "test.npz")
    return Digits(load(folder / "model.onnx"), seen, test["image"][:100], test["labels"][:100])
