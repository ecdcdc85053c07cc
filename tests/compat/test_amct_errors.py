"""What is wrong with an AMCT file, and where."""

from __future__ import annotations

import pytest

from onnxq.compat import translate
from onnxq.errors import ConfigError, UsageError

QUANTIZED = "retrain_weight_quant_config { arq_retrain { } }\n"


def failed(shop, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        shop.translated(text)
    return str(caught.value)


def test_unknown_field(shop):
    text = QUANTIZED + "retrain_data_quant_config {\n  ulq_quantize { fixed_mim: true }\n}\n"
    message = failed(shop, text)
    assert message.startswith("x.cfg:3:18: unknown field 'fixed_mim'; ActULQquantize has ")
    assert message.endswith("did you mean 'fixed_min'?")


def test_unknown_field_at_the_top(shop):
    assert "did you mean 'skip_layers'?" in failed(shop, 'skip_layer: "stem.conv"')


def test_a_field_given_twice(shop):
    message = failed(shop, "batch_num: 1\nbatch_num: 2\n")
    assert message.startswith("x.cfg:2:") and "batch_num" in message


def test_two_algorithms_in_one_block(shop):
    both = "retrain_weight_quant_config { arq_retrain { }\n ulq_retrain { } }"
    assert failed(shop, both).startswith("x.cfg:2:")


def test_unknown_value_of_a_choice(shop):
    message = failed(shop, "retrain_weight_quant_config { arq_retrain { dst_type: INT3 } }")
    assert message.startswith("x.cfg:1:") and "INT3" in message


def test_missing_field(shop):
    message = failed(
        shop, "retrain_data_quant_config {\n ulq_quantize { clip_max_min { clip_max: 1 } } }"
    )
    assert "a required field is missing" in message
    assert "clip_max_min.clip_min" in message and message.startswith("x.cfg:1:1")


@pytest.mark.parametrize(
    ("block", "key", "name"),
    [
        ("override_layer_configs", "layer_name", "stem.conv"),
        ("override_layer_types", "layer_type", "Conv2d"),
    ],
)
def test_duplicate_override(shop, block, key, name):
    override = f'{block} {{\n  {key}: "{name}" {QUANTIZED} }}\n'
    message = failed(shop, override * 2)
    assert message.startswith(f"x.cfg:5:{len(key) + 5}: '{name}' is overridden twice in {block}")


@pytest.mark.parametrize(
    "field",
    ["skip_layers", "quant_skip_layers", "regular_prune_skip_layers"],
)
def test_a_name_that_matches_no_layer(shop, field):
    message = failed(shop, f'{QUANTIZED}# {field}: "steem.conv"\n{field}: "steem.conv"')
    assert message.startswith(f"x.cfg:3:{len(field) + 3}: 'steem.conv' is no layer of the model")
    assert message.endswith("did you mean 'stem.conv'?")


@pytest.mark.parametrize(
    "field", ["skip_layer_types", "quant_skip_types", "regular_prune_skip_types"]
)
def test_a_type_that_matches_no_layer(shop, field):
    message = failed(shop, f'{QUANTIZED}{field}: "Conv3d"')
    assert message.startswith(f"x.cfg:2:{len(field) + 3}: 'Conv3d' is no layer type of the model")
    assert message.endswith("did you mean 'Conv2d'?")


def test_an_override_of_no_layer(shop):
    override = f'override_layer_configs {{ layer_name: "classifi" {QUANTIZED} }}'
    assert failed(shop, override).endswith("did you mean 'classify'?")


def test_a_name_in_a_list(shop):
    assert failed(shop, f'{QUANTIZED}skip_layers: ["stem.conv", "nothing"]').startswith(
        "x.cfg:2:28"
    )


def test_a_model_is_needed():
    with pytest.raises(UsageError, match=r"--model model\.onnx"):
        translate(QUANTIZED, "x.cfg")


@pytest.mark.parametrize(
    "spelling",
    [
        "retrain_weight_quant_config: { arq_retrain: { dst_type: INT4 } }",
        "retrain_weight_quant_config < arq_retrain < dst_type: 0 > >",
        "# quantization\nretrain_weight_quant_config { arq_retrain { dst_type: 0x0 } } # INT4",
    ],
)
def test_every_spelling_of_the_text_format(shop, spelling):
    assert shop.config(spelling).weights.bits == 4


def test_clips_without_a_length(shop):
    clips = "clip_max_min { clip_max: 0 clip_min: 0 }"
    message = failed(shop, f"\nretrain_data_quant_config {{ ulq_quantize {{ {clips} }} }}")
    assert message.startswith("x.cfg:2:1: ") and "[0.0, 0.0] is not a range" in message


def test_more_batches_than_can_be(shop):
    message = failed(shop, f"{QUANTIZED} batch_num: 4000000000")
    assert message.startswith("x.cfg: ")
