"""Fine-tuning from the file alone: what is trained is what the engine then computes."""

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

from onnxq.config import (
    ActivationFormat,
    Config,
    FakeQuantization,
    Finetune,
    Prune,
    WeightFormat,
)
from onnxq.errors import ConfigError, DataError, OnnxqError
from onnxq.graph import Model, load, promise_sparsity, sparse_layers
from onnxq.plan import Weight
from onnxq.pruning.nm import check_layers
from onnxq.quant import Pattern
from onnxq.targets import load_target
from onnxq.workflow import FinetuneResult, finetune, prune
from onnxq.workflow.deciding import decide
from onnxq.workflow.widths import with_wide_ends

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
small (float[N,4,6,6] x) => (float[N,5] y) {
    [one] a = Conv <pads = [1,1,1,1]> (x, W1, B1)
    [relu1] b = Relu (a)
    [two] c = Conv <pads = [1,1,1,1]> (b, W2, B2)
    [add] d = Add (c, b)
    [relu2] e = Relu (d)
    [three] f = Conv <pads = [1,1,1,1]> (e, W3, B3)
    [relu3] g = Relu (f)
    [pool] h = GlobalAveragePool (g)
    [flat] i = Flatten (h)
    [last] y = Gemm <transB = 1> (i, W4, B4)
}
"""
SHAPES = {
    "W1": (8, 4, 3, 3),
    "W2": (8, 8, 3, 3),
    "W3": (8, 8, 3, 3),
    "W4": (5, 8),
    "B1": (8,),
    "B2": (8,),
    "B3": (8,),
    "B4": (5,),
}


def proto(seed: int = 0) -> onnx.ModelProto:
    model = parse_model(TEXT)
    generator = np.random.default_rng(seed)
    for name, shape in SHAPES.items():
        size = (2.0 / max(np.prod(shape[1:]), 1)) ** 0.5 if len(shape) > 1 else 0.3
        value = (generator.normal(size=shape) * size).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    entry = model.metadata_props.add()
    entry.key, entry.value = "author", "somebody"
    return model


def inputs(count: int = 40, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, 4, 6, 6)).astype(np.float32)


def config(weights: int = 4, activations: int = 4, **finetune: Any) -> Config:
    settings = {"steps": 30, "batch": 16, "evaluations": 3, **finetune}
    return Config(
        weights=WeightFormat(bits=weights),
        activations=ActivationFormat(bits=activations),
        effort="none",
        finetune=Finetune(**settings),
    )


@pytest.fixture(autouse=True)
def _speed_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("proving", "standing"):
        monkeypatch.setattr(f"onnxq.workflow.{module}.time_both", lambda *_: None)


def run(model: Model, x: NDArray[Any]) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(model.to_proto().SerializeToString())
    result: NDArray[Any] = session.run(None, {"x": x})[0]
    return result


def constants(result: FinetuneResult) -> dict[str, NDArray[Any]]:
    return {i.name: numpy_helper.to_array(i) for i in result.model.to_proto().graph.initializer}


@pytest.mark.parametrize("bits", [(2, 2), (3, 5), (4, 8), (8, 8)])
def test_training_helps_and_the_engine_computes_what_was_trained(bits: tuple[int, int]) -> None:
    result = finetune(proto(), data=inputs(), config=config(*bits))
    held_out = [point.held_out for point in result.training.history]
    assert min(held_out) <= held_out[0]
    assert result.difference < 1e-5
    assert result.training.samples == (30, 10)
    assert set(result.bits) == {bits[0], 8}
    before = result.untrained.fidelity["y"].mse
    assert bits[0] >= 8 or result.fidelity["y"].mse < before


@pytest.mark.parametrize(
    ("weights", "activations"),
    [("arq", "pact"), ("ulq", "ulq"), ("dorefa", "ste"), ("lsq", "lsq+"), ("ste", "ste")],
)
def test_every_method_is_written_as_it_was_trained(weights: Any, activations: Any) -> None:
    wishes = FakeQuantization(weights=weights, activations=activations, delay=0.2, observe=0.5)
    result = finetune(proto(), data=inputs(), config=config(3, 3, steps=6, quantization=wishes))
    assert result.difference < 1e-5


def test_the_same_call_gives_the_same_file() -> None:
    files = [
        finetune(proto(), data=inputs(), config=config(steps=5), verify=False).model.to_proto()
        for _ in range(2)
    ]
    assert files[0].SerializeToString() == files[1].SerializeToString()


def test_outer_layers_keep_eight_bits_and_what_they_read() -> None:
    model = load(proto())
    target = load_target("ort-cpu")
    wished = with_wide_ends(config(2, 2), model, target, 8)
    plan = decide(model, target, wished).plan
    stored = {u.node: o for u, o in plan.operands.items() if isinstance(o, Weight)}
    weights = {node: operand.scheme.qtype.bits for node, operand in stored.items()}
    assert weights == {"one": 8, "two": 2, "three": 2, "last": 8}
    widths = {name: a.scheme.qtype.bits for name, a in plan.activations.items()}
    assert widths["x"] == 8 and widths["i"] == widths["h"] == 8
    assert {widths[name] for name in ("e", "g")} == {2}


def test_codes_below_eight_bits_stay_in_their_range() -> None:
    result = finetune(proto(), data=inputs(), config=config(2, 8, steps=5))
    stored = constants(result)
    codes = next(v for n, v in stored.items() if n.startswith("W2") and n.endswith("_quantized"))
    assert codes.dtype.name == "int4"
    assert set(np.unique(codes.astype(int))) <= {-2, -1, 0, 1}


def test_a_float_model_keeps_everything_but_its_weights() -> None:
    student, teacher = proto(1), proto(2)
    result = finetune(
        student, data=inputs(), teacher=teacher, config=config(quantization=None, rate=1e-2)
    )
    written = result.model.to_proto()
    assert [n.SerializeToString() for n in written.graph.node] == [
        n.SerializeToString() for n in student.graph.node
    ]
    assert {e.key: e.value for e in written.metadata_props} == {"author": "somebody"}
    assert [(i.name, list(i.dims)) for i in written.graph.initializer] == [
        (i.name, list(i.dims)) for i in student.graph.initializer
    ]
    assert result.fidelity["y"].mse < 0.7 * result.untrained.fidelity["y"].mse
    assert result.plan is None and result.difference < 1e-5


def test_labels_can_be_learned() -> None:
    x = inputs(64)
    labels = (x[:, 0].mean((1, 2)) > 0).astype(np.int64)
    wishes = config(
        quantization=None, losses=("cross-entropy",), labels="labels", rate=1e-2, steps=60
    )
    result = finetune(proto(), data=x, labels=labels, config=wishes)
    found = run(result.model, x).argmax(1)
    assert (found == labels).mean() > 0.85


def sparse_model() -> Model:
    model = load(proto())
    for name in ("W2", "W3"):
        constant = next(c for c in model.constants if c.name == name)
        value = numpy_helper.to_array(next(i for i in proto().graph.initializer if i.name == name))
        ranks = np.argsort(np.argsort(-np.abs(value.reshape(8, 2, 4, 3, 3)), axis=2), axis=2)
        constant.store(np.where(ranks.reshape(value.shape) < 2, value, 0).astype(np.float32))
    promise_sparsity(model, {"two": Pattern(2, 4), "three": Pattern(2, 4)})
    return model


@pytest.mark.parametrize("update_masks", [0, 4])
@pytest.mark.parametrize("quantized", [True, False])
def test_masks_hold(update_masks: int, quantized: bool) -> None:
    model = sparse_model()
    wishes: dict[str, Any] = {"update_masks": update_masks, "rate": 1e-2, "steps": 16}
    if not quantized:
        wishes["quantization"] = None
    result = finetune(model, data=inputs(), config=config(8, 8, **wishes))
    layers = [layer for layer in check_layers(result.model) if layer.promised is not None]
    assert sparse_layers(result.model) and len(layers) == 2
    assert not any(layer.fault for layer in layers)
    assert result.difference < 1e-5
    moved = _alive(result.model) != _alive(model)
    assert not moved.any() or update_masks > 0


def _alive(model: Model) -> NDArray[np.bool_]:
    from onnxq.pruning.nm.stored import stored_weight

    found = [stored_weight(node) for node in model.nodes if node.name in ("two", "three")]
    return np.stack([weight.used for weight in found if weight is not None])


@pytest.mark.parametrize("weights", ["adaround", "lsq"])
def test_blocks_are_reconstructed(weights: Any) -> None:
    wishes = config(
        3,
        8,
        quantization=FakeQuantization(weights=weights),
        blocks={"steps": 40, "layers": 1},
        rate=1e-3,
    )
    result = finetune(proto(), data=inputs(), config=wishes)
    assert result.difference < 1e-5
    assert result.fidelity["y"].mse < result.untrained.fidelity["y"].mse


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("stopped", [5, 17])
def test_blocks_go_on_where_they_were_stopped(tmp_path: Path, stopped: int) -> None:
    def tuned(folder: Path, progress: Any = None) -> bytes:
        wishes = config(3, 4, blocks={"steps": 10, "layers": 1}, checkpoints=str(folder))
        more = {} if progress is None else {"progress": progress}
        result = finetune(proto(), data=inputs(24), config=wishes, verify=False, **more)
        written: bytes = result.model.to_proto().SerializeToString()
        return written

    def stop(stage: str, done: int, total: int | None) -> None:
        if stage.startswith("train") and done >= stopped:
            raise StoppedError

    with pytest.raises(StoppedError):
        tuned(tmp_path / "b", stop)
    assert (tmp_path / "b" / "training.pt").exists() == (stopped > 10)
    assert tuned(tmp_path / "b") == tuned(tmp_path / "a")


def test_features_can_be_matched() -> None:
    wishes = config(4, 4, losses=("match", "features"), steps=10)
    result = finetune(proto(), data=inputs(), config=wishes)
    assert result.training.losses == ("1 × match", "1 × features")
    assert result.training.history[-1].held_out < result.training.history[0].held_out


def pruned() -> Model:
    settings = Config(prune=Prune(ratio=0.5, round_to=1), sparsify=None)
    return prune(proto(), calibration=inputs(), config=settings, verify=False).model


def test_features_of_a_pruned_model_are_matched_where_shapes_agree() -> None:
    student = pruned()
    wishes = config(losses=("match", {"kind": "features", "tensors": ("c",)}), steps=2)
    with pytest.raises(ConfigError, match=r"tensor 'c' cannot be matched.*same shape"):
        finetune(student, teacher=proto(), data=inputs(), config=wishes, verify=False)
    wishes = config(losses=("match",), steps=2)
    finetune(student, teacher=proto(), data=inputs(), config=wishes, verify=False)


def test_tensors_that_do_not_exist_cannot_be_matched() -> None:
    wishes = config(losses=({"kind": "features", "tensors": ("nothing",)},), steps=2)
    with pytest.raises(ConfigError, match="tensor 'nothing' cannot be matched"):
        finetune(proto(), data=inputs(), config=wishes)


OWN = """
def loss(found, expected, labels):
    return (found["y"] - labels).square().mean() + 0 * expected["y"].sum()
"""


def test_a_loss_of_the_user_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_loss_of_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    labels = np.repeat(inputs()[:, :1, 0, 0], 5, axis=1)
    own = {"kind": "function", "function": "own_loss_of_a_test:loss"}
    wishes = config(quantization=None, losses=(own,), rate=1e-2, steps=40)
    result = finetune(proto(), data=inputs(), labels=labels, config=wishes)
    assert min(h.held_out for h in result.training.history) < result.training.history[0].held_out
    errors = [
        np.square(run(model, inputs()) - labels).mean() for model in (load(proto()), result.model)
    ]
    assert errors[1] < 0.7 * errors[0]
    missing = {"kind": "function", "function": "own_loss_of_a_test:other"}
    with pytest.raises(ConfigError, match="other"):
        finetune(proto(), data=inputs(), config=config(losses=(missing,), steps=1))


def test_rates_for_training_from_scratch_are_warned_of() -> None:
    result = finetune(proto(), data=inputs(8), config=config(steps=1, rate=0.01), verify=False)
    assert any("training from scratch" in warning for warning in result.warnings)


def test_a_model_that_torch_cannot_run_is_refused() -> None:
    # The engine knows its own operators; torch has none of this name.
    text = TEXT.replace("Relu (f)", "com.microsoft.QuickGelu (f)").replace(
        'opset_import: ["" : 17]', 'opset_import: ["" : 17, "com.microsoft" : 1]'
    )
    model = parse_model(text.replace("QuickGelu", "BifurcationDetector"))
    model.graph.initializer.extend(proto().graph.initializer)
    with pytest.raises(OnnxqError, match="BifurcationDetector"):
        finetune(model, data=inputs(), config=config(quantization=None))


def test_nothing_to_learn_from_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "empty.npz", x=np.zeros((0, 4, 6, 6), np.float32))
    with pytest.raises(DataError, match="no samples"):
        finetune(proto(), data=tmp_path / "empty.npz", config=config())


def test_a_saved_result_is_loaded_again(tmp_path: Path) -> None:
    from onnxq.graph import save

    result = finetune(proto(), data=inputs(), config=config(steps=3), verify=False)
    path = save(result.model, tmp_path / "small.onnx")
    assert np.array_equal(run(load(path), inputs(4)), run(result.model, inputs(4)))
