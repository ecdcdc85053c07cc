"""Fine-tuning of quantized layers with their batch normalisation: the file is the same graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.config import Config, Corrections
from onnxq.errors import PreconditionError
from onnxq.graph import Model, load, promise_sparsity
from onnxq.pruning.nm import check_layers
from onnxq.quant import Pattern
from onnxq.targets import load_target
from onnxq.workflow import FinetuneResult, finetune
from onnxq.workflow.finetuning_norms import still_warning, without_scaling
from onnxq.workflow.preparing import make_ready

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
small (float[N,4,6,6] x) => (float[N,5] y) {
    [one] a = Conv <pads = [1,1,1,1]> (x, W1)
    [norm1] b = BatchNormalization (a, G1, S1, M1, V1)
    [relu1] c = Relu (b)
    [two] d = Conv <pads = [1,1,1,1], group = 8> (c, W2, B2)
    [norm2] e = BatchNormalization <epsilon = 0.001, momentum = 0.8> (d, G2, S2, M2, V2)
    [relu2] f = Relu (e)
    [three] g = Conv (f, W3)
    [norm3] h = BatchNormalization (g, G3, S3, M3, V3)
    [add] i = Add (h, c)
    [relu3] j = Relu (i)
    [pool] k = GlobalAveragePool (j)
    [flat] l = Flatten (k)
    [last] y = Gemm <transB = 1> (l, W4, B4)
}
"""
SHAPES = {"W1": (8, 4, 3, 3), "W2": (8, 1, 3, 3), "W3": (8, 8, 1, 1), "W4": (5, 8)}
NORMED = {"1": "a", "2": "d", "3": "g"}


def inputs(count: int = 48, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, 4, 6, 6)).astype(np.float32)


def proto(text: str = TEXT) -> onnx.ModelProto:
    """The model; its running statistics are those of the inputs, as training leaves them."""
    model: onnx.ModelProto = parse_model(text)
    draw = np.random.default_rng(0)
    values = {
        name: draw.normal(size=shape) * (2.0 / np.prod(shape[1:])) ** 0.5
        for name, shape in SHAPES.items()
    }
    values |= {"B2": draw.normal(size=8) * 0.2, "B4": draw.normal(size=5) * 0.2}
    for number in NORMED:
        values["G" + number] = draw.uniform(0.5, 1.5, 8) * draw.choice([-1, 1], 8)
        values["S" + number] = draw.normal(size=8) * 0.3
        values |= {"M" + number: np.zeros(8), "V" + number: np.ones(8)}
    held = {name: numpy_helper.from_array(v.astype(np.float32), name) for name, v in values.items()}
    model.graph.initializer.extend(held.values())
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for number, name in NORMED.items():
        shown = onnx.ModelProto()
        shown.CopyFrom(model)
        shown.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
        session = onnxruntime.InferenceSession(shown.SerializeToString())
        [value] = session.run([name], {"x": inputs()})
        for kind, found in (("M", value.mean((0, 2, 3))), ("V", value.var((0, 2, 3)))):
            stored[kind + number].CopyFrom(numpy_helper.from_array(found, kind + number))
    return model


def config(bits: int = 4, effort: str = "none", **changes: Any) -> Config:
    settings = {"steps": 40, "batch": 16, "evaluations": 4, "batch_norm": "folded", **changes}
    return Config.model_validate(
        {
            "weights": {"bits": bits},
            "activations": {"bits": bits},
            "effort": effort,
            "finetune": settings,
        }
    )


@pytest.fixture(autouse=True)
def _speed_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("proving", "standing"):
        monkeypatch.setattr(f"onnxq.workflow.{module}.time_both", lambda *_: None)


def graph(result: FinetuneResult) -> tuple[list[bytes], list[tuple[object, ...]]]:
    """Nodes, and names, shapes and types of constants."""
    found = result.model.to_proto().graph
    constants = [(i.name, tuple(i.dims), i.data_type) for i in found.initializer]
    return [node.SerializeToString() for node in found.node], constants


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_training_helps_and_the_file_is_the_graph_that_it_always_is(bits: int) -> None:
    found = finetune(proto(), data=inputs(), config=config(bits, losses=("match",)))
    wishes = config(bits, batch_norm="frozen", steps=2)
    plain = finetune(proto(), data=inputs(), config=wishes, verify=False)
    assert graph(found) == graph(plain)
    assert found.difference < 1e-5
    assert not any("BatchNormalization" in warning for warning in found.warnings)
    held_out = [point.held_out for point in found.training.history]
    # Rounding to 8 bits costs this network nothing that could be learned.
    assert bits == 8 or min(held_out) < 0.6 * held_out[0]


@pytest.mark.parametrize("weights", ["lsq", "ulq", "arq", "ste"])
@pytest.mark.parametrize("freeze", [0.0, 1.0])
def test_every_method_is_written_as_it_was_trained(weights: str, freeze: float) -> None:
    wishes = {"weights": weights, "activations": "ste", "delay": 0.2, "observe": 0.5}
    changes = {"quantization": wishes, "freeze_batch_norm": freeze, "average": 0.9, "steps": 6}
    found = finetune(proto(), data=inputs(), config=config(3, **changes))
    assert found.difference < 1e-5


def test_statistics_that_follow_change_what_is_learned() -> None:
    files = [
        finetune(
            proto(), data=inputs(), config=config(freeze_batch_norm=share, steps=4), verify=False
        ).model.digest()
        for share in (0.0, 1.0, 1.0)
    ]
    assert files[0] != files[1] == files[2]


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("stopped", [4, 10])
def test_a_stopped_run_ends_in_the_same_file(tmp_path: Path, stopped: int) -> None:
    def tuned(folder: Path, **more: Any) -> str:
        wishes = config(3, steps=12, checkpoints=str(folder))
        return finetune(proto(), data=inputs(), config=wishes, verify=False, **more).model.digest()

    def stop(stage: str, done: int, total: int | None) -> None:
        if stage.startswith("train") and done >= stopped:
            raise StoppedError

    with pytest.raises(StoppedError):
        tuned(tmp_path / "b", progress=stop)
    assert (tmp_path / "b" / "training.pt").exists()
    assert tuned(tmp_path / "b") == tuned(tmp_path / "a")


def test_a_normalisation_that_cannot_be_kept_is_told() -> None:
    # The sum becomes a part of the convolution of each channel.
    text = TEXT.replace("f = Relu (e)", "f = Relu (s)").replace(
        "    [relu2]", "    [sum] s = Add (e, c)\n    [relu2]"
    )
    found = finetune(proto(text), data=inputs(), config=config(steps=4))
    [warning] = [warning for warning in found.warnings if "stood still" in warning]
    assert warning == (
        "batch_norm: folded: 1 BatchNormalization stood still: "
        "'norm2': 'two' holds something else than the two of them"
    )
    assert found.difference < 1e-5


def test_many_reasons_are_counted() -> None:
    warning = still_warning({f"n{i}": "why" for i in range(8)})
    assert warning.endswith("'n4': why; and 3 more")


def test_a_model_that_was_exported_without_them_is_refused() -> None:
    folded = make_ready(load(proto()), load_target("ort-cpu"), Config(), None).model
    with pytest.raises(PreconditionError, match=r"finetune\.batch_norm.*the model has none"):
        finetune(folded, data=inputs(), config=config(steps=2))


def test_layers_are_not_scaled_unless_that_is_asked_for() -> None:
    off = without_scaling(Config()).corrections
    assert (off.equalize_layers, off.smooth_activations, off.biases) == (False, False, None)
    asked = Config(corrections=Corrections(equalize_layers=True))
    assert without_scaling(asked).corrections.equalize_layers is True
    found = finetune(proto(), data=inputs(), config=config(2, effort="standard", steps=4))
    assert not any("stood still" in warning for warning in found.warnings)
    assert found.difference < 1e-5


def sparse() -> Model:
    model = load(proto())
    weight = next(c for c in model.constants if c.name == "W3")
    value = next(numpy_helper.to_array(i) for i in proto().graph.initializer if i.name == "W3")
    ranks = np.argsort(np.argsort(-np.abs(value.reshape(8, 2, 4)), axis=2), axis=2)
    weight.store(np.where(ranks.reshape(value.shape) < 2, value, 0).astype(np.float32))
    promise_sparsity(model, {"three": Pattern(2, 4)})
    return model


@pytest.mark.parametrize("update_masks", [0, 4])
def test_masks_hold(update_masks: int) -> None:
    wishes = config(8, update_masks=update_masks, rate=1e-2, steps=16)
    found = finetune(sparse(), data=inputs(), config=wishes)
    [layer] = [one for one in check_layers(found.model) if one.promised is not None]
    assert layer.promised is not None and not layer.fault
    assert found.difference < 1e-5


def test_a_layer_that_stays_float_is_folded_too() -> None:
    wishes = config(4).model_dump(exclude_unset=True) | {"skip": ["two"]}
    found = finetune(proto(), data=inputs(), config=Config.model_validate(wishes))
    assert found.difference < 1e-5
    ops = {node.op_type for node in found.model.to_proto().graph.node}
    assert "BatchNormalization" not in ops
