"""QAT-base and QAT_Mixed dictionaries, and the hyper-parameters in them."""

from __future__ import annotations

import json
from typing import Any

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


def base(**values: Any) -> str:
    return json.dumps(values)


def mixed(entries: dict[str, Any], **more: Any) -> str:
    return json.dumps({"quant_config": entries, **more})


def widths(x: int, w: int, size: int = -1) -> dict[str, int]:
    return {"x_nbit": x, "w_nbit": w, "q_group_size": size}


@pytest.mark.parametrize(("bits", "stored"), [(4, "int4"), (8, "int8"), (16, "int16")])
def test_weight_bit(shop, bits, stored):
    made = shop.quantized(base(Weight_bit=bits), "x.json")
    assert {str(made.weight(layer)[0]) for layer in LAYERS} == {stored}


def test_activation_bit(shop):
    plan = shop.plan(base(Activation_bit=5), "x.json")
    assert {a.scheme.qtype.bits for a in plan.activations.values()} == {5}


def test_eight_bits_by_default(shop):
    config = shop.config(base(learning_rate=0.1), "x.json")
    assert (config.weights.bits, config.activations.bits) == (8, 8)


@pytest.mark.parametrize(
    ("key", "value", "ours", "expected"),
    [
        ("learning_rate", 0.0032, "rate", 0.0032),
        ("batch_size", 64, "batch", 64),
        ("weight_decay", 0.00001, "weight_decay", 0.00001),
        ("momentum", 0.95, "momentum", 0.95),
        ("num_epochs", 50, "epochs", 50),
        ("optimizer", "AdamW", "optimizer", "adamw"),
    ],
)
def test_hyper_parameters(shop, key, value, ours, expected):
    found = shop.translated(base(**{key: value}), "x.json")
    assert getattr(found.config.finetune, ours) == expected
    assert ours in found.config.finetune.model_fields_set


def test_momentum_is_that_of_sgd(shop):
    assert shop.config(base(momentum=0.9), "x.json").finetune.optimizer == "sgd"
    assert shop.config(base(learning_rate=0.1), "x.json").finetune.optimizer == "adam"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("cos", "cosine"), ("StepLR", "step"), ("plateau", "plateau"), (None, "constant")],
)
def test_scheduler(shop, name, kind):
    schedule = shop.config(base(scheduler=name), "x.json").finetune.schedule
    assert schedule.kind == kind
    if kind == "cosine":
        assert schedule.end == 0.0


def test_hyper_parameters_train(shop):
    """A dictionary leads to a quantized model whose weights have moved."""
    config = shop.config(base(Weight_bit=4, learning_rate=0.01, momentum=0.9), "x.json")
    far, near = (shop.compressed(config, steps=steps) for steps in (6, 1))
    assert str(far.weight(FIRST)[0]) == "int4"
    assert (far.values(FIRST) != near.values(FIRST)).any()


def test_the_accuracy_must_be_reached(shop):
    budget = shop.config(base(acc_validation=0.799), "x.json").budget
    assert (budget.metric, budget.minimum) == ("accuracy", 0.799)


def test_what_is_measured_is_no_setting(shop):
    found = shop.translated(base(Weight_bit=8, model_size=None, Quant_error=None), "x.json")
    assert [w.split(" is ")[0] for w in found.warnings] == [
        "x.json:1: model_size",
        "x.json:1: Quant_error",
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"Weight_bit": 1}, r"x.json:1: Weight_bit: .*2 to 16 bits"),
        ({"Weight_bit": "8"}, "Weight_bit"),
        ({"Weight_bits": 8, "Activation_bit": 8}, "unknown key 'Weight_bits'.*'Weight_bit'"),
        ({"learning_rate": "fast"}, "learning_rate: must be a number, here 'fast'"),
        ({"learning_rate": -1.0}, "x.json:1: learning_rate: "),
        ({"momentum": 1.5}, "x.json:1: momentum: "),
        ({"scheduler": "zigzag"}, "scheduler: 'zigzag' is no schedule"),
        ({"learning_rate": 0.1, "acc_validation": 80}, "accuracy lies between 0 and 1"),
    ],
)
def test_errors(shop, values, message):
    with pytest.raises(ConfigError, match=message):
        shop.translated(base(**values), "x.json")


def test_widths_by_prefix(shop):
    entries = {"stem": widths(8, 8), "blocks": widths(8, 4), "classify": widths(8, 16)}
    made = shop.quantized(mixed(entries), "x.json")
    assert [str(made.weight(layer)[0]) for layer in LAYERS] == ["int8", "int4", "int4", "int16"]


def test_the_longest_prefix_decides(shop):
    entries = {"blocks": widths(8, 4), "blocks.0.conv2": widths(8, 8), "blocks.0": widths(8, 16)}
    made = shop.quantized(mixed(entries), "x.json")
    stored = [str(made.weight(layer)[0]) for layer in LAYERS]
    assert stored == ["float32", "int16", "int8", "float32"]


def test_a_prefix_ends_at_a_dot(shop):
    with pytest.raises(ConfigError, match=r"quant_config.block: 'block' is the beginning of no"):
        shop.translated(mixed({"block": widths(8, 8)}), "x.json")


def test_layers_of_no_prefix_stay_float(shop):
    made = shop.quantized(mixed({"classify": widths(8, 8)}), "x.json")
    assert [str(made.weight(layer)[0]) for layer in LAYERS] == ["float32"] * 3 + ["int8"]


def test_x_nbit_is_the_width_of_what_a_layer_reads(shop):
    entries = {
        "stem": widths(8, 8),
        "blocks.0.conv1": widths(4, 8),
        "blocks.0.conv2": widths(16, 8),
    }
    grids = shop.grids(mixed({**entries, "classify": widths(8, 8)}), "x.json")
    plan = shop.plan(mixed({**entries, "classify": widths(8, 8)}), "x.json")
    found = {
        name: plan.activations[name].scheme.qtype.bits
        for name in ("image", "stem_out", "first_out")
    }
    assert found == {"image": 8, "stem_out": 4, "first_out": 16}
    assert grids["first_out"][2] == "uint16"


@pytest.mark.parametrize(("size", "scales"), [(-1, (64,)), (0, ())])
def test_q_group_size(shop, size, scales):
    made = shop.quantized(mixed({"blocks": widths(8, 8, size)}), "x.json")
    assert made.weight(FIRST)[1] == scales


def test_q_group_size_in_blocks(shop):
    found = shop.translated(mixed({"classify": widths(8, 4, 16)}), "x.json")
    assert found.config.weights.granularity.block == 16
    assert any("activations stay float" in warning for warning in found.warnings)


def test_thirty_two_bits_are_float(shop):
    entries = {"stem": widths(32, 32), "blocks": widths(8, 8)}
    made = shop.quantized(mixed(entries), "x.json")
    assert [str(made.weight(layer)[0]) for layer in LAYERS] == [
        "float32",
        "int8",
        "int8",
        "float32",
    ]


def test_thirty_two_bits_for_all_train_a_float_model(shop):
    config = shop.config(mixed({"stem": widths(32, 32)}, learning_rate=0.001), "x.json")
    assert not config.quantize and config.finetune.quantization is None
    made = shop.compressed(config)
    assert {str(made.weight(layer)[0]) for layer in LAYERS} == {"float32"}
    assert "QuantizeLinear" not in {node.op for node in made.model.nodes}


def test_mixed_widths_are_trained(shop):
    entries = {"stem": widths(8, 8), "blocks": widths(4, 4)}
    more = {"learning_rate": 0.001, "batch_size": 128, "weight_decay": 0.000015, "momentum": 0.9}
    config = shop.config(mixed(entries, **more), "x.json")
    assert config.finetune.weight_decay == 0.000015 and config.finetune.batch == 128
    made = shop.compressed(config)
    assert [str(made.weight(layer)[0]) for layer in LAYERS] == ["int8", "int4", "int4", "float32"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"stem": {"x_bit": 8}}, "quant_config.stem.x_bit: unknown key 'x_bit'.*'x_nbit'"),
        ({"stem": 8}, "quant_config.stem: must be a mapping"),
        ({"stem": widths(32, 8)}, "quant_config.stem: float beside integers"),
        ({"stem": widths(8, 1)}, "quant_config.stem: "),
        ({"stem": widths(8, 8, 24)}, "quant_config.stem: .*power of two"),
        ({"fc1": widths(8, 8)}, "'fc1' is the beginning of no layer's name"),
    ],
)
def test_errors_of_mixed(shop, entries, message):
    with pytest.raises(ConfigError, match=message):
        shop.translated(mixed(entries), "x.json")


def test_a_model_is_needed():
    with pytest.raises(UsageError, match="--model"):
        translate(mixed({"stem": widths(8, 8)}), "x.json")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.py", 'config = {\n    "quant_config": {"stem": {"x_nbit": 8, "w_nbit": 4}},\n}'),
        ("c.yaml", "quant_config:\n  stem: {x_nbit: 8, w_nbit: 4}\n"),
        ("c.toml", "[quant_config.stem]\nx_nbit = 8\nw_nbit = 4\n"),
    ],
)
def test_written_in_any_notation(shop, name, text):
    assert shop.config(text, name).weights.bits == 4
