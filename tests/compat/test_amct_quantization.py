"""What AMCT's quantization fields do to the model that is written."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.quant import nearest_half

STEM, FIRST, SECOND = (
    "/stem/conv/Conv",
    "/blocks/blocks.0/conv1/Conv",
    "/blocks/blocks.0/conv2/Conv",
)
DENSE = "/classify/Gemm"
LAYERS = (STEM, FIRST, SECOND, DENSE)

WEIGHTS = "retrain_weight_quant_config {{ {} {{ {} }} }}"
DATA = "retrain_data_quant_config {{ ulq_quantize {{ {} }} }}"
ARQ = WEIGHTS.format("arq_retrain", "channel_wise: true")
ARQ4 = WEIGHTS.format("arq_retrain", "dst_type: INT4 channel_wise: true")
ARQ16 = WEIGHTS.format("arq_retrain", "dst_type: INT16")
CLIP3 = DATA.format("clip_max_min { clip_max: 3 clip_min: -3 }")
CLIP6 = DATA.format("clip_max_min { clip_max: 6 clip_min: -6 }")


def by_type(kind: str, block: str) -> str:
    return f'override_layer_types {{ layer_type: "{kind}" {block} }}\n'


def by_name(name: str, block: str) -> str:
    return f'override_layer_configs {{ layer_name: "{name}" {block} }}\n'


@pytest.mark.parametrize("algorithm", ["arq_retrain", "ulq_retrain"])
@pytest.mark.parametrize(
    ("kind", "stored"), [("INT4", "int4"), ("INT8", "int8"), ("INT16", "int16")]
)
def test_dst_type_of_weights(shop, algorithm, kind, stored):
    made = shop.quantized(WEIGHTS.format(algorithm, f"dst_type: {kind}"))
    assert {str(made.weight(layer)[0]) for layer in LAYERS} == {stored}


@pytest.mark.parametrize("algorithm", ["arq_retrain", "ulq_retrain"])
def test_channel_wise(shop, algorithm):
    each = shop.quantized(WEIGHTS.format(algorithm, "channel_wise: true"))
    one = shop.quantized(WEIGHTS.format(algorithm, "channel_wise: false"))
    assert [each.weight(layer)[1] for layer in LAYERS] == [(32,), (64,), (32,), (10,)]
    assert [one.weight(layer)[1] for layer in LAYERS] == [()] * 4


def test_channel_wise_is_the_default(shop):
    assert shop.quantized(WEIGHTS.format("arq_retrain", "")).weight(FIRST)[1] == (64,)


def test_the_algorithms_learn_in_their_own_ways(shop):
    arq = shop.config(WEIGHTS.format("arq_retrain", ""))
    ulq = shop.config(WEIGHTS.format("ulq_retrain", ""))
    assert (arq.finetune.quantization.weights, ulq.finetune.quantization.weights) == ("arq", "ulq")
    assert arq.finetune.quantization.activations == "ulq"


def test_each_layer_learns_in_its_own_way(shop):
    """Weights that stand still keep the scale of their range; one that is learned moves."""
    found = shop.translated(ARQ + by_name("blocks.0.conv1", WEIGHTS.format("ulq_retrain", "")))
    assert not found.warnings
    assert found.config.finetune.quantization.weights == "arq"
    (rule,) = found.config.finetune.rules
    assert (rule.match.name, rule.weights) == (FIRST, "ulq")
    still = {"rate": 1e-12, "scale_rate": 1e-2, "warmup": 0.0, "held_out": 0.0}
    tuned = found.config.finetune.model_copy(update=still)
    made = shop.compressed(found.config.model_copy(update={"finetune": tuned}), steps=4)
    floats = {c.name: np.abs(c.values) for c in shop.model.constants}
    for layer, name in ((STEM, "stem.conv"), (FIRST, "blocks.0.conv1"), (SECOND, "blocks.0.conv2")):
        (node,) = [n for n in made.model.nodes if n.name == layer]
        scale = node.inputs[1].inputs[0].inputs[1].values
        widest = floats[f"{name}.weight"].max(axis=(1, 2, 3)) / 127
        assert np.allclose(scale, widest, rtol=1e-5) == (layer != FIRST)


def test_an_override_without_weights_learns_as_amct_does_by_default(shop):
    text = WEIGHTS.format("ulq_retrain", "") + by_name("blocks.0.conv1", CLIP3)
    found = shop.config(text).finetune
    assert found.quantization.weights == "ulq"
    assert [(r.match.name, r.weights) for r in found.rules] == [(FIRST, "arq")]


@pytest.mark.parametrize(
    ("kind", "codes", "stored"),
    [("INT4", 15, "uint8"), ("INT8", 255, "uint8"), ("INT16", 65535, "uint16")],
)
def test_dst_type_of_data(shop, kind, codes, stored):
    clip = "clip_max_min { clip_max: 6 clip_min: 0 }"
    grids = shop.grids(ARQ + DATA.format(f"{clip} dst_type: {kind}"))
    for tensor in ("image", "stem_out", "first_out", "features"):
        scale, zero, dtype = grids[tensor]
        np.testing.assert_allclose(scale, 6 / codes, rtol=1e-6)
        assert (zero, dtype) == (0, stored)


def test_clip_max_min(shop):
    grids = shop.grids(ARQ + CLIP6)
    np.testing.assert_allclose(grids["image"][0], 12 / 255, rtol=1e-6)
    assert grids["image"][1] in (127, 128)
    # Behind a Relu the lower end is zero.
    np.testing.assert_allclose(grids["stem_out"][0], 6 / 255, rtol=1e-6)
    assert grids["stem_out"][1] == 0


def test_without_clips_ranges_are_found_by_ifmr(shop):
    config = shop.config(ARQ + DATA.format("dst_type: INT8"))
    assert config.calibration.method.kind == "ifmr"
    free = shop.grids(ARQ)
    assert not np.isclose(free["image"][0], 12 / 255, rtol=1e-3)


def test_fixed_min(shop):
    clip = "clip_max_min { clip_max: 6 clip_min: -6 }"
    scale, zero, _ = shop.grids(ARQ + DATA.format(f"{clip} fixed_min: true"))["image"]
    np.testing.assert_allclose(scale, 6 / 255, rtol=1e-6)
    assert zero == 0


def test_fixed_min_without_clips_fixes_the_lower_end_alone(shop):
    fixed, free = (shop.grids(ARQ + DATA.format(f"fixed_min: {x}")) for x in ("true", "false"))
    assert fixed["image"][1] == 0 and free["image"][1] > 0


def test_batch_num(shop):
    # 24 samples, of which few calibrate if a batch is made small.
    config = shop.config(ARQ + "batch_num: 2")
    assert config.calibration.samples == 2 * config.finetune.batch
    assert "samples" not in shop.config(ARQ).calibration.model_fields_set


def test_scales_of_data_in_half_precision(shop):
    """AMCT rounds `scale_d` alone; those of weights are as without the field."""
    plain = ARQ + CLIP6 + by_name("blocks.0.conv1", DATA.format("dst_type: INT16") + ARQ)
    text = plain + "\nfakequant_precision_mode: FORCE_FP16_QUANT"
    found = shop.translated(text)
    assert found.warnings == shop.translated(plain).warnings
    assert found.origins["activations.scales"].startswith("x.cfg:")
    # What an override reads differs in width, not in how exact its scale is.
    exact, half = shop.grids(plain), shop.grids(text)
    assert set(exact) == set(half) and half["stem_out"][2] == "uint16"
    for tensor, (scale, zero, _) in half.items():
        assert scale == float(nearest_half(exact[tensor][0])) != exact[tensor][0]
        assert abs(zero - exact[tensor][1]) <= 1
    assert half["image"][0] == float(np.float16(12 / 255))
    for layer in LAYERS:
        (before,), (after,) = (
            [n.inputs[1].inputs[0].inputs[1].values for n in m.model.nodes if n.name == layer]
            for m in (shop.quantized(plain), shop.quantized(text))
        )
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("field", "value", "skipped"),
    [
        ("skip_layers", "stem.conv", [STEM]),
        ("skip_layer_types", "Conv2d", [STEM, FIRST, SECOND]),
        ("quant_skip_layers", SECOND, [SECOND]),
        ("quant_skip_types", "Linear", [DENSE]),
        ("quant_skip_types", "Gemm", [DENSE]),
    ],
)
def test_skipped_layers_stay_float(shop, field, value, skipped):
    made = shop.quantized(f'{ARQ} {field}: "{value}"')
    stored = {layer: str(made.weight(layer)[0]) for layer in LAYERS}
    assert stored == {layer: "float32" if layer in skipped else "int8" for layer in LAYERS}


def test_skip_sets_are_joined(shop):
    text = f'{ARQ} skip_layers: "stem.conv" quant_skip_layers: ["blocks.0.conv2"] '
    made = shop.quantized(text + 'quant_skip_types: "Linear"')
    floats = [layer for layer in LAYERS if str(made.weight(layer)[0]) == "float32"]
    assert floats == [STEM, SECOND, DENSE]


def test_skips_of_pruning_do_not_touch_quantization(shop):
    made = shop.quantized(f'{ARQ} regular_prune_skip_layers: "stem.conv"')
    assert str(made.weight(STEM)[0]) == "int8"


def test_override_by_name_before_type_before_global(shop):
    text = ARQ + by_type("Conv2d", ARQ4) + by_name("blocks.0.conv1", ARQ16)
    made = shop.quantized(text)
    assert [str(made.weight(layer)[0]) for layer in LAYERS] == ["int4", "int16", "int4", "int8"]


def test_override_of_data_by_name_before_type_before_global(shop):
    clip2 = DATA.format("clip_max_min { clip_max: 2 clip_min: 0 }")
    text = ARQ + CLIP6 + by_type("Conv2d", CLIP3) + by_name("blocks.0.conv2", clip2)
    grids = shop.grids(text)
    tensors = ("stem_out", "first_out", "features")
    found = [round(grids[tensor][0] * 255, 4) for tensor in tensors]
    # The dense layer reads a mean that may be negative, so -6 to 6.
    assert found == [3.0, 2.0, 12.0]


def test_an_override_replaces_the_whole_entry(shop):
    """Its missing block has AMCT's defaults (INT8, no clips), not the global values."""
    text = ARQ4 + CLIP6 + by_name("blocks.0.conv1", CLIP3) + by_name("blocks.0.conv2", ARQ16)
    made, grids = shop.quantized(text), shop.grids(text)
    assert [str(made.weight(layer)[0]) for layer in LAYERS] == ["int4", "int8", "int16", "int4"]
    np.testing.assert_allclose(grids["stem_out"][0], 3 / 255, rtol=1e-6)
    assert not np.isclose(grids["first_out"][0], 6 / 255, rtol=1e-3)


def test_an_override_quantizes_a_layer_that_is_skipped(shop):
    text = f'{ARQ} skip_layer_types: "Conv2d" ' + by_name("blocks.0.conv1", ARQ4)
    made = shop.quantized(text)
    stored = [str(made.weight(layer)[0]) for layer in LAYERS]
    assert stored == ["float32", "int4", "float32", "int8"]


def test_two_layers_that_read_one_tensor_share_its_format(shop, branching):
    text = ARQ + by_name("left", CLIP3) + by_name("right", CLIP6)
    found = branching(text)
    assert any("is stored once, as 'left' wants it" in text for text in found.warnings)
    (left,) = [o for o in found.config.overrides if o.reads is not None]
    assert (left.match.name, left.reads.range) == ("left", (-3.0, 3.0))


def test_learned_clips_begin_with_those_given(shop):
    """With a rate of almost nothing training leaves them where they were."""
    config = shop.config(ARQ + CLIP6)
    tuned = config.finetune.model_copy(update={"scale_rate": 1e-12, "rate": 1e-12})
    made = shop.compressed(config.model_copy(update={"finetune": tuned}), steps=1)
    scales = {
        n.inputs[0].name: float(n.inputs[1].values)
        for n in made.model.nodes
        if n.op == "QuantizeLinear"
    }
    np.testing.assert_allclose(scales["image"], 12 / 255, rtol=1e-4)
    np.testing.assert_allclose(scales["stem_out"], 6 / 255, rtol=1e-4)


def test_behind_a_relu_the_lower_end_is_fixed_by_default(shop):
    free = DATA.format("clip_max_min { clip_max: 6 clip_min: -6 } fixed_min: false")
    ranges = {
        text: {o.match.name: o.reads.range for o in shop.config(ARQ + text).overrides}
        for text in (CLIP6, free)
    }
    assert ranges[CLIP6][FIRST] == (0.0, 6.0) and ranges[CLIP6][STEM] == (-6.0, 6.0)
    assert ranges[free][FIRST] == (-6.0, 6.0)
