"""The techniques of the torch helper module, row by row: what is in the file they give."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, numpy_helper
from onnx.parser import parse_model

from onnxq import helpers
from onnxq.config import Config
from onnxq.errors import ConfigError, OnnxqError, UsageError
from onnxq.graph import Model, load
from onnxq.helpers.formats import QCONFIGS
from onnxq.workflow import RANDOM_WARNING, finetune

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
small (float[N,3,8,8] x) => (float[N,4] y) {
    [one] a = Conv <pads = [1,1,1,1]> (x, W1, B1)
    [relu] b = Relu (a)
    [two] c = Conv <pads = [1,1,1,1]> (b, W2, B2)
    [relu2] d = Relu (c)
    [pool] e = GlobalAveragePool (d)
    [flat] f = Flatten (e)
    [last] y = Gemm <transB = 1> (f, W3, B3)
}
"""
SHAPES = {
    "W1": (8, 3, 3, 3),
    "B1": (8,),
    "W2": (8, 8, 3, 3),
    "B2": (8,),
    "W3": (4, 8),
    "B3": (4,),
}
FEW_STEPS = Config.model_validate({"finetune": {"steps": 6, "batch": 8}})
NARROW = Config.model_validate({"finetune": {"steps": 6, "batch": 8}, "prune": {"round_to": 1}})


def proto(seed: int = 0) -> onnx.ModelProto:
    model = parse_model(TEXT)
    draw = np.random.default_rng(seed)
    for name, shape in SHAPES.items():
        value = (draw.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return model


def samples(count: int = 24, seed: int = 1) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {"x": draw.normal(size=(count, 3, 8, 8)).astype(np.float32)}


EXAMPLES = torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 6, 3)
        self.norm = torch.nn.BatchNorm2d(6)
        self.last = torch.nn.Linear(6 * 36, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.norm(self.conv(image))).flatten(1))


def written(result: Any) -> onnx.ModelProto:
    assert isinstance(result.model, Model)
    found = result.model.to_proto()
    onnx.checker.check_model(found, full_check=True)
    return found


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def weight_codes(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """The integer constants of rank two and more."""
    kinds = {TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4}
    return [t for t in model.graph.initializer if t.data_type in kinds and len(t.dims) > 1]


def activation_zero_points(model: onnx.ModelProto) -> list[int]:
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type == "QuantizeLinear"]
    return [int(values[n.input[2]]) for n in nodes]


# dynamic_quantization(model, dtype=torch.qint8)


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        (None, TensorProto.INT8),
        (torch.qint8, TensorProto.INT8),
        ("qint8", TensorProto.INT8),
        (torch.quint8, TensorProto.UINT8),
    ],
)
def test_dynamic_stores_weights_of_products_in_the_type(dtype: object, kind: int) -> None:
    result = helpers.dynamic_quantization(proto(), *([] if dtype is None else [dtype]))
    model = written(result)
    assert {t.data_type for t in weight_codes(model)} == {kind}
    assert len(weight_codes(model)) == 1
    assert "DynamicQuantizeLinear" in operators(model)
    assert operators(model).count("Conv") == 2
    assert "QuantizeLinear" not in operators(model)


def test_dynamic_refuses_a_type_that_weights_cannot_have() -> None:
    with pytest.raises(ValueError, match=r"float16.*not known") as caught:
        helpers.dynamic_quantization(proto(), torch.float16)
    assert isinstance(caught.value, OnnxqError)


# static_quantization(model, qconfig='fbgemm')


def test_static_uses_the_formats_of_fbgemm_by_default() -> None:
    given = samples()
    model = written(helpers.static_quantization(proto(), calibration=given))
    assert {t.data_type for t in weight_codes(model)} == {TensorProto.INT8}
    assert len(weight_codes(model)) == 3
    scales = {t.name: t for t in model.graph.initializer}
    per_channel = [
        scales[n.input[1]].dims
        for n in model.graph.node
        if n.op_type == "DequantizeLinear" and n.input[0] in {t.name for t in weight_codes(model)}
    ]
    assert sorted(map(list, per_channel)) == [[4], [8], [8]]


@pytest.mark.parametrize("name", sorted(QCONFIGS))
def test_qconfigs_are_torchs(name: str) -> None:
    with warnings.catch_warnings():
        # torch announces that it will move all this elsewhere.
        warnings.simplefilter("ignore")
        theirs = torch.ao.quantization.get_default_qconfig(name)
        activation, weight = theirs.activation(), theirs.weight()
    ours = QCONFIGS[name]
    assert ours.activation_bits == 8 - int(activation.reduce_range)
    assert activation.qscheme == torch.per_tensor_affine
    assert (ours.granularity == "channel") == (weight.qscheme == torch.per_channel_symmetric)
    assert weight.dtype == torch.qint8


@pytest.mark.parametrize(("qconfig", "highest"), [("fbgemm", 127), ("onednn", 255)])
def test_reduced_ranges_use_half_the_codes(qconfig: str, highest: int) -> None:
    given = samples()
    model = written(helpers.static_quantization(proto(), qconfig, calibration=given))
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    first = next(n for n in model.graph.node if n.input[0] == "x" and "Quantize" in n.op_type)
    codes = np.clip(
        np.rint(given["x"] / values[first.input[1]]) + values[first.input[2]].astype(int), 0, 255
    )
    assert highest * 0.9 <= codes.max() <= highest + 1


def test_qnnpack_has_one_scale_for_a_weight() -> None:
    model = written(helpers.static_quantization(proto(), "qnnpack", calibration=samples()))
    codes = {t.name for t in weight_codes(model)}
    shapes = {t.name: list(t.dims) for t in model.graph.initializer}
    scales = [
        shapes[n.input[1]]
        for n in model.graph.node
        if n.op_type == "DequantizeLinear" and n.input[0] in codes
    ]
    assert all(shape in ([], [1]) for shape in scales)


def test_an_unknown_qconfig_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'fbgemm'"):
        helpers.static_quantization(proto(), "fbgem")


def test_without_samples_a_warning_comes_first() -> None:
    result = helpers.static_quantization(proto())
    assert result.warnings[0] == RANDOM_WARNING


# quantization_aware_training(model, qconfig='fbgemm')


def test_training_gives_a_quantized_model_in_the_formats() -> None:
    result = helpers.quantization_aware_training(proto(), data=samples(), config=FEW_STEPS)
    model = written(result)
    assert result.training.steps == 6
    assert len(weight_codes(model)) == 3
    assert result.plan is not None
    assert {a.scheme.qtype.bits for a in result.plan.activations.values()} == {7}


def test_training_learns_labels_that_are_given() -> None:
    labels = np.arange(24) % 4
    result = helpers.quantization_aware_training(
        proto(), "qnnpack", data=samples(), labels=labels, config=FEW_STEPS
    )
    assert any("cross" in text for text in result.training.losses)
    values = np.zeros((24, 4), np.float32)
    result = helpers.quantization_aware_training(
        proto(), data=samples(), labels=values, config=FEW_STEPS
    )
    assert not any("cross" in text for text in result.training.losses)
    assert len(result.training.losses) == 2


def test_training_without_data_warns() -> None:
    result = helpers.quantization_aware_training(proto(), config=FEW_STEPS)
    assert result.warnings[0] == RANDOM_WARNING


# fx_graph_mode_quantization(model, example_inputs, qconfig='fbgemm')


@pytest.mark.parametrize(
    "examples",
    [EXAMPLES, (EXAMPLES,), {"image": EXAMPLES}],
)
def test_fx_takes_a_torch_module(examples: Any) -> None:
    network = Network().eval()
    network.train()
    result = helpers.fx_graph_mode_quantization(network, examples)
    assert network.training, "the module is as it was"
    model = written(result)
    assert len(weight_codes(model)) == 2
    assert RANDOM_WARNING not in result.warnings
    x = np.random.default_rng(0).normal(size=(7, 3, 8, 8)).astype(np.float32)
    session = ort.InferenceSession(model.SerializeToString(), None, ["CPUExecutionProvider"])
    [found] = session.run(None, {session.get_inputs()[0].name: x})
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(x)).numpy()
    noise = np.square(found - expected).sum() / np.square(expected).sum()
    assert 10 * np.log10(1 / noise) > 25


def test_fx_refuses_a_module_without_an_example() -> None:
    with pytest.raises(UsageError, match="example_inputs"):
        helpers.fx_graph_mode_quantization(Network(), None)


def test_fx_takes_an_onnx_model_too() -> None:
    result = helpers.fx_graph_mode_quantization(proto(), samples(2)["x"], "onednn")
    assert len(weight_codes(written(result))) == 3


# mixed_precision_quantization(model, bits_weights=8, bits_activations=8)


@pytest.mark.parametrize(("weights", "activations"), [(8, 8), (4, 8), (6, 5)])
def test_mixed_has_the_widths_asked_for(weights: int, activations: int) -> None:
    result = helpers.mixed_precision_quantization(
        proto(), weights, activations, calibration=samples()
    )
    kept = [np.unique(numpy_helper.to_array(t).astype(int)) for t in weight_codes(written(result))]
    assert max(codes.max() for codes in kept) <= 2 ** (weights - 1) - 1
    assert max(len(codes) for codes in kept) > 2 ** (weights - 2)
    assert {a.scheme.qtype.bits for a in result.plan.activations.values()} == {activations}


def test_mixed_takes_widths_of_single_layers() -> None:
    result = helpers.mixed_precision_quantization(
        proto(), layers={"two": (4, 6)}, calibration=samples()
    )
    widths = {
        use.node: operand.scheme.qtype.bits
        for use, operand in result.plan.operands.items()
        if hasattr(operand, "scheme")
    }
    assert widths == {"one": 8, "two": 4, "last": 8}


@pytest.mark.parametrize("bits", [1, 17])
def test_mixed_refuses_widths_that_do_not_exist(bits: int) -> None:
    with pytest.raises((ConfigError, ValueError), match="bits"):
        helpers.mixed_precision_quantization(proto(), bits)


# pruning_aware_quantization(model, pruning_rate=0.5)


def test_pruning_removes_filters_then_trains_and_quantizes() -> None:
    result = helpers.pruning_aware_quantization(proto(), 0.5, calibration=samples(), config=NARROW)
    assert [stage.name for stage in result.stages] == ["prune", "finetune"]
    model = written(result)
    left = sum(t.dims[0] for t in weight_codes(model) if len(t.dims) == 4)
    assert left == 8
    assert len(weight_codes(model)) == 3


def test_pruning_without_samples_only_prunes_and_quantizes() -> None:
    result = helpers.pruning_aware_quantization(
        proto(), config=Config.model_validate({"prune": {"round_to": 1}})
    )
    assert [stage.name for stage in result.stages] == ["prune", "quantize"]
    assert result.warnings[0] == RANDOM_WARNING


@pytest.mark.parametrize("rate", [0, 1, -0.5, 1.5])
def test_pruning_refuses_rates_that_are_no_share(rate: float) -> None:
    with pytest.raises(ValueError, match="pruning_rate"):
        helpers.pruning_aware_quantization(proto(), rate)


# knowledge_distillation_quantization(teacher_model, student_model, temperature=2.0)


def test_distillation_learns_from_the_teacher_at_its_temperature() -> None:
    teacher = load(proto(seed=5))
    for tensor, name in ((teacher.inputs[0], "picture"), (teacher.outputs[0], "a")):
        for other in (teacher.variables.get(name),):
            if other is not None:
                other.name = "inner"
        tensor.name = name
    wished = Config.model_validate({"finetune": {"steps": 60, "batch": 24, "rate": 1e-2}})
    result = helpers.knowledge_distillation_quantization(
        teacher, proto(), data=samples(96), config=wished
    )
    assert len(result.training.losses) == 1
    history = result.training.history
    assert min(point.held_out for point in history) < 0.8 * history[0].held_out
    assert len(weight_codes(written(result))) == 3


def test_the_temperature_is_that_of_the_loss() -> None:
    result = helpers.knowledge_distillation_quantization(
        proto(), proto(), 7.0, data=samples(), config=FEW_STEPS
    )
    plain = Config.model_validate(
        {
            "effort": "quick",
            "finetune": {
                "steps": 6,
                "batch": 8,
                "losses": [{"kind": "distill", "temperature": 7.0}],
                "quantization": {"outer_bits": None},
            },
        }
    )
    expected = finetune(proto(), data=samples(), config=plain)
    assert [p.held_out for p in result.training.history] == [
        p.held_out for p in expected.training.history
    ]


def test_teacher_and_student_must_correspond() -> None:
    teacher = proto()
    teacher.graph.output.append(onnx.helper.make_tensor_value_info("f", TensorProto.FLOAT, None))
    with pytest.raises(ValueError, match="2 outputs, the student 1"):
        helpers.knowledge_distillation_quantization(teacher, proto(), data=samples())


def test_torch_is_not_needed_to_import_the_helpers() -> None:
    code = "import sys, onnxq.helpers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_classes_hold_the_same_functions() -> None:
    basic, advanced = helpers.QuantizationTechniques, helpers.AdvancedQuantizationTechniques
    for owner, names in (
        (basic, ("dynamic_quantization", "static_quantization", "quantization_aware_training")),
        (basic, ("fx_graph_mode_quantization",)),
        (advanced, ("mixed_precision_quantization", "pruning_aware_quantization")),
        (advanced, ("knowledge_distillation_quantization",)),
    ):
        for name in names:
            assert getattr(owner, name) is getattr(helpers, name)
            assert getattr(owner(), name) is getattr(helpers, name)
