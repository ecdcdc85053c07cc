"""What every key of NNI's config_list does to the model that is written."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from onnxq.compat import translate
from onnxq.errors import ConfigError, UsageError

STEM, FIRST, SECOND = (
    "/stem/conv/Conv",
    "/blocks/blocks.0/conv1/Conv",
    "/blocks/blocks.0/conv2/Conv",
)
DENSE = "/classify/Gemm"
LAYERS = (STEM, FIRST, SECOND, DENSE)
EVERYTHING = ["weight", "_input_", "_output_"]


def text(*entries: dict[str, Any], **more: Any) -> str:
    return json.dumps({"config_list": list(entries), **more})


def entry(**keys: Any) -> dict[str, Any]:
    return {"op_types": ["Conv2d", "Linear"], "target_names": EVERYTHING, **keys}


def integer_layers(shop, *entries: dict[str, Any]) -> list[str]:
    made = shop.quantized(text(*entries), "x.json")
    return [layer for layer in LAYERS if str(made.weight(layer)[0]) != "float32"]


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        ({"op_names": ["stem.conv", "classify"]}, [STEM, DENSE]),
        ({"op_names_re": ["blocks.*"]}, [FIRST, SECOND]),
        ({"op_names_re": ["conv1"]}, []),
        ({"op_types": ["Linear"]}, [DENSE]),
        ({"op_types": ["Conv2d", "Linear"]}, [STEM, FIRST, SECOND, DENSE]),
        ({"op_names": ["stem.conv"], "op_names_re": ["blocks.*2"]}, [STEM, SECOND]),
        ({"op_names": ["stem.conv", "classify"], "op_types": ["Linear"]}, [DENSE]),
        ({"op_types": ["Conv2d"], "exclude_op_names": ["stem.conv"]}, [FIRST, SECOND]),
        ({"op_types": ["Conv2d"], "exclude_op_names_re": ["blocks.*1"]}, [STEM, SECOND]),
        ({"op_names": ["stem.conv", "classify"], "exclude_op_types": ["Linear"]}, [STEM]),
    ],
)
def test_selection(shop, keys, chosen):
    if not chosen:
        with pytest.raises(ConfigError, match=r"config_list\[0\]: the entry selects no layer"):
            shop.translated(text(keys), "x.json")
        return
    assert integer_layers(shop, {**keys, "target_names": EVERYTHING}) == chosen


@pytest.mark.parametrize(
    ("dtype", "stored", "lowest", "highest"),
    [
        ("int8", "int8", -127, 127),
        ("int4", "int4", -7, 7),
        ("uint8", "uint8", 0, 255),
        ("int16", "int16", -32767, 32767),
    ],
)
def test_quant_dtype(shop, dtype, stored, lowest, highest):
    made = shop.quantized(text(entry(quant_dtype=dtype, granularity="default")), "x.json")
    codes = made.values(FIRST).astype(int)
    assert str(made.weight(FIRST)[0]) == stored
    assert codes.min() >= lowest and codes.max() <= highest
    # The range is used to its end.
    assert max(abs(codes.min()), codes.max()) >= highest - 1


def test_quant_dtype_of_what_is_read_and_written(shop):
    for dtype in ("int8", "uint8", "int16"):
        found = shop.grids(text(entry(quant_dtype=dtype)), "x.json")
        assert {kind for _, _, kind in found.values()} == {dtype}


def test_quant_scheme(shop):
    symmetric = shop.grids(text(entry(quant_scheme="symmetric")), "x.json")
    affine = shop.grids(text(entry(quant_scheme="affine")), "x.json")
    assert symmetric["stem_out"][1] == 0 and affine["stem_out"][1] == -127
    # Positive values have all codes under affine, half of them under symmetric.
    np.testing.assert_allclose(
        affine["stem_out"][0] * 254, symmetric["stem_out"][0] * 127, rtol=1e-5
    )


def test_symmetric_is_the_default(shop):
    assert shop.grids(text(entry()), "x.json")["stem_out"][1] == 0


@pytest.mark.parametrize(
    ("granularity", "scales"),
    [
        ("default", ()),
        ("per_tensor", ()),
        ("out_channel", (64,)),
        ("per_channel", (64,)),
        ([1, -1, -1, -1], (64,)),
        ([-1, -1, -1, -1], ()),
    ],
)
def test_granularity_of_weights(shop, granularity, scales):
    settings = {"weight": {"granularity": granularity}}
    made = shop.quantized(text(entry(target_settings=settings)), "x.json")
    assert made.weight(FIRST)[1] == scales


def test_blocks_of_weights(shop):
    settings = {"weight": {"granularity": [1, 16]}}
    found = shop.config(text(entry(op_types=["Linear"], target_settings=settings)), "x.json")
    assert found.weights.granularity.block == 16


@pytest.mark.parametrize("granularity", ["in_channel", [2, -1], "per_row"])
def test_granularity_that_cannot_be(shop, granularity):
    with pytest.raises(ConfigError, match=r"x.json:1: config_list\[0\].target_names: "):
        shop.translated(text(entry(granularity=granularity)), "x.json")


def test_activations_have_one_scale(shop):
    found = shop.translated(text(entry(granularity="per_channel")), "x.json")
    assert any("one scale per tensor" in warning for warning in found.warnings)


def test_target_names_weight_alone_leaves_data_to_the_target(shop):
    found = shop.config(text(entry(target_names=["weight"])), "x.json")
    assert all(o.activations is None and o.reads is None for o in found.overrides)


def test_target_names_input(shop):
    only = entry(op_names=["blocks.0.conv1"], target_names=["weight", "_input_0"])
    found = shop.config(text({**only, "quant_dtype": "int16"}), "x.json")
    assert {o.match.name: o.reads.bits for o in found.overrides if o.reads} == {FIRST: 16}
    plan = shop.plan(text({**only, "quant_dtype": "int16"}), "x.json")
    bits = {name: a.scheme.qtype.bits for name, a in plan.activations.items()}
    assert bits == {"stem_out": 16, "first_out": 8}


def test_target_names_output(shop):
    only = entry(op_names=["stem.conv"], target_names=["weight", "_output_"])
    found = shop.config(text(only), "x.json")
    assert [o.match.name for o in found.overrides if o.activations] == [STEM]
    assert shop.grids(text(only), "x.json")["s"][2] == "int8"


def bias_type(outcome) -> str:
    (dense,) = [n for n in outcome.model.nodes if n.name == DENSE]
    source = dense.inputs[2]
    return str((source.inputs[0].inputs[0] if source.inputs else source).values.dtype)


def test_a_bias_that_is_a_target_is_int32(shop):
    with_bias = shop.quantized(text(entry(target_names=[*EVERYTHING, "bias"])), "x.json")
    without = shop.quantized(text(entry()), "x.json")
    assert (bias_type(with_bias), bias_type(without)) == ("int32", "float32")


def test_the_scale_of_a_bias_follows_the_weight_as_align_says(shop):
    settings = {"bias": {"align": {"target_name": "weight", "dims": [0]}}}
    names = [*EVERYTHING, "bias"]
    one = text(entry(granularity="out_channel", target_names=names, target_settings=settings))
    found = shop.translated(one, "x.json")
    assert any("align belongs to pruning" in warning for warning in found.warnings)
    (dense,) = [n for n in shop.quantized(one, "x.json").model.nodes if n.name == DENSE]
    data, weight, bias = (t.inputs[0].inputs[1].values for t in dense.inputs)
    np.testing.assert_allclose(bias, data * weight, rtol=1e-6)


def test_target_settings_count_more_than_those_of_the_entry(shop):
    settings = {"weight": {"quant_dtype": "int4"}}
    made = shop.quantized(text(entry(quant_dtype="int8", target_settings=settings)), "x.json")
    assert str(made.weight(FIRST)[0]) == "int4"
    assert (
        shop.grids(text(entry(quant_dtype="int8", target_settings=settings)), "x.json")["p"][2]
        == "int8"
    )


def test_later_entries_replace_earlier_ones_target_by_target(shop):
    later = {"op_names": ["stem.conv"], "target_names": ["weight"], "quant_dtype": "int4"}
    one = text(entry(quant_dtype="int8"), later)
    made = shop.quantized(one, "x.json")
    assert [str(made.weight(layer)[0]) for layer in LAYERS] == ["int4", "int8", "int8", "int8"]
    assert shop.grids(one, "x.json")["s"][2] == "int8"


@pytest.mark.parametrize("method", ["clamp_round", "qat_clamp_round"])
def test_apply_methods_that_round(shop, method):
    found = shop.translated(text(entry(apply_method=method)), "x.json")
    assert found.config == shop.config(text(entry()), "x.json") and not found.warnings


def test_apply_method_bypass_leaves_a_layer_float(shop):
    later = {"op_names": ["stem.conv"], "target_names": EVERYTHING, "apply_method": "bypass"}
    assert integer_layers(shop, entry(), later) == [FIRST, SECOND, DENSE]


def test_a_list_that_quantizes_nothing_trains_a_float_model(shop):
    bypassed = entry(apply_method="bypass")
    config = shop.config(text(bypassed, num_epochs=1), "x.json")
    assert not config.quantize and config.finetune.quantization is None
    made = shop.compressed(config)
    assert "QuantizeLinear" not in {node.op for node in made.model.nodes}
    # Without training nothing is asked for; the model stays as it is, with a warning.
    assert shop.config(text(bypassed), "x.json").quantize


@pytest.mark.parametrize("method", ["mul", "add"])
def test_apply_methods_of_pruning_change_nothing_and_say_so(shop, method):
    found = shop.translated(text(entry(apply_method=method)), "x.json")
    assert found.config == shop.config(text(entry()), "x.json")
    assert any(f"apply_method '{method}' belongs to pruning" in w for w in found.warnings)


def test_apply_method_that_does_not_exist(shop):
    with pytest.raises(ConfigError, match="unknown apply_method 'div'"):
        shop.translated(text(entry(apply_method="div")), "x.json")


def test_fuse_names(digits):
    def warnings(*names: str) -> list[str]:
        one = text({"op_types": ["Conv2d"], "fuse_names": [list(names)]})
        return [w for w in translate(one, "x.json", digits.model).warnings if "fuse_names" in w]

    assert (
        warnings("stem.conv", "stem.norm") == warnings("stem.conv", "stem.norm", "stem.relu") == []
    )
    assert "do not follow each other" in warnings("stem.conv", "tail.norm")[0]
    assert "not in the model" in warnings("stem.conv", "stem.bn")[0]


def test_classes_that_the_model_lacks_are_told(shop):
    found = shop.translated(text(entry(exclude_op_types=["BatchNorm2d"])), "x.json")
    assert any("the model has no BatchNorm2d" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("quantizer", "weights", "activations"),
    [
        ("QATQuantizer", "arq", "ste"),
        ("LsqQuantizer", "lsq", "lsq"),
        ("LsqPlusQuantizer", "lsq", "lsq+"),
        ("DoReFaQuantizer", "dorefa", "ste"),
    ],
)
def test_quantizers_that_train(shop, quantizer, weights, activations):
    config = shop.config(text(entry(), quantizer=quantizer), "x.json")
    learned = config.finetune.quantization
    assert (learned.weights, learned.activations) == (weights, activations)
    assert config.calibration.method.kind == "moving-average"
    assert str(shop.compressed(config).weight(FIRST)[0]) == "int8"


def test_without_hyper_parameters_nothing_is_trained(shop):
    config = shop.config(text(entry()), "x.json")
    assert config.finetune is None and config.calibration.method.kind == "min-max"


def test_hyper_parameters_train(shop):
    config = shop.config(text(entry(), learning_rate=0.01, num_epochs=3), "x.json")
    assert (config.finetune.rate, config.finetune.epochs) == (0.01, 3)
    assert config.finetune.quantization.weights == "arq"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"op_nams": ["x"]},
            r"x.json:1: config_list\[0\].op_nams: unknown key 'op_nams'.*'op_names'",
        ),
        ({"op_names": ["stem.con"]}, r"op_names\[0\]: 'stem.con' is no layer.*'stem.conv'"),
        (
            {"op_types": ["Conv"], "exclude_op_names": ["x.y"]},
            r"exclude_op_names\[0\]: 'x.y' is no",
        ),
        ({"op_types": ["Conv2"]}, r"op_types\[0\]: 'Conv2' is no layer type.*'Conv2d'"),
        ({"op_names_re": ["("]}, "is not a regular expression"),
        ({"op_types": ["Conv2d"], "quant_dtype": "int3x"}, "unknown quant_dtype 'int3x'"),
        ({"op_types": ["Conv2d"], "quant_dtype": "int1"}, "unknown quant_dtype 'int1'"),
        ({"op_types": ["Conv2d"], "quant_scheme": "linear"}, "unknown quant_scheme 'linear'"),
        ({"op_types": ["Conv2d"], "target_names": ["wight"]}, "'wight' is no target"),
        ({"op_types": ["Conv2d"], "fuse_names": [["stem.conv"]]}, "two or three names"),
        (
            {"op_types": ["Conv2d"], "target_settings": {"weight": {"bits": 8}}},
            "unknown key 'bits'",
        ),
    ],
)
def test_errors(shop, entries, message):
    with pytest.raises(ConfigError, match=message):
        shop.translated(text(entries), "x.json")


def test_quantizer_that_does_not_exist(shop):
    with pytest.raises(ConfigError, match="'BNNQuantizer' is not known here"):
        shop.translated(text(entry(), quantizer="BNNQuantizer"), "x.json")


def test_a_model_is_needed():
    with pytest.raises(UsageError, match="--model"):
        translate(text(entry()), "x.json")


PYTHON = """
{
config_list = [{
    'op_names': ['stem.conv', 'blocks.0.conv1', 'classify'],   # which
    'op_names_re': ['blocks.*'],
    'op_types': ['Conv2d', 'Linear'],
    'exclude_op_names': ['stem.conv'],
    'exclude_op_names_re': ['fc.*'],
    'exclude_op_types': ['BatchNorm2d'],
    'quant_dtype': 'int8',
    'quant_scheme': 'symmetric',
    'fuse_names': [('stem.conv', 'blocks.0.conv1')],
    'granularity': 'per_channel',
    'target_names': ['weight', 'bias', '_output_'],
    'target_settings': {
        'weight': {'granularity': 'per_channel', 'apply_method': 'mul'},
        'bias': {'align': {'target_name': 'weight', 'dims': [0]}, 'apply_method': 'mul'},
    },
}]
}
"""


def test_the_dictionary_as_people_write_it(shop):
    """Python with the braces around it, and all keys at once, some of which NNI itself refuses."""
    made = shop.quantized(PYTHON, "nni.txt")
    assert [str(made.weight(layer)[0]) for layer in LAYERS] == ["float32", "int8", "int8", "int8"]
    assert made.weight(FIRST)[1] == (64,) and bias_type(made) == "int32"
    warnings = shop.translated(PYTHON, "nni.txt").warnings
    assert any(
        w.startswith("nni.txt:16:9: config_list[0].target_settings.weight:") for w in warnings
    )
    assert len(warnings) == 7
