"""What AMCT's fields of pruning and of 2:4 sparsity do to the model that is written."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.errors import ConfigError

STEM, FIRST, SECOND = (
    "/stem/conv/Conv",
    "/blocks/blocks.0/conv1/Conv",
    "/blocks/blocks.0/conv2/Conv",
)
DENSE = "/classify/Gemm"
CONVS = (STEM, FIRST, SECOND)


def filters(ratio: float, more: str = "") -> str:
    inner = f"balanced_l2_norm_filter_prune {{ prune_ratio: {ratio} {more} }}"
    return f"prune_config {{ filter_pruner {{ {inner} }} }}\n"


def pattern(more: str = "") -> str:
    inner = f"l1_selective_prune {{ {more} }}"
    return f"prune_config {{ n_out_of_m_pruner {{ {inner} }} }}\n"


def by_type(kind: str, block: str) -> str:
    return f'override_layer_types {{ layer_type: "{kind}" {block} }}\n'


def by_name(name: str, block: str) -> str:
    return f'override_layer_configs {{ layer_name: "{name}" {block} }}\n'


def channels(made) -> list[int]:
    return [made.channels(layer) for layer in CONVS]


def is_sparse(weight: np.ndarray) -> bool:
    """Whether at most two of four weights in a row along the input channels are not zero."""
    rows = np.moveaxis(weight, 1, -1)
    blocks = rows[..., : rows.shape[-1] // 4 * 4].reshape(-1, 4)
    return bool((np.count_nonzero(blocks, axis=1) <= 2).all())


def test_prune_ratio_removes_that_share_of_each_layer(shop):
    assert channels(shop.pruned(filters(0.25, "ascend_optimized: false"))) == [24, 48, 24]
    assert channels(shop.pruned(filters(0.5, "ascend_optimized: false"))) == [16, 32, 16]


def test_ascend_optimized_keeps_multiples_of_sixteen(shop):
    # 0.6 of 32 and 64 would leave 13 and 26.
    assert channels(shop.pruned(filters(0.6, "ascend_optimized: true"))) == [16, 32, 16]
    assert channels(shop.pruned(filters(0.6, "ascend_optimized: false"))) == [13, 26, 13]


def test_ascend_optimized_is_the_default(shop):
    assert channels(shop.pruned(filters(0.6))) == [16, 32, 16]


def test_channels_are_scored_by_the_balanced_norm(shop):
    assert shop.config(filters(0.5)).prune.importance == "balanced-l2"


@pytest.mark.parametrize(
    ("field", "value", "left"),
    [
        ("regular_prune_skip_layers", "stem.conv", [32, 32, 16]),
        ("skip_layers", SECOND, [16, 32, 32]),
        ("quant_skip_layers", "stem.conv", [16, 32, 16]),
    ],
)
def test_skipped_layers_keep_their_filters(shop, field, value, left):
    assert channels(shop.pruned(f'{filters(0.5)} {field}: "{value}"')) == left


@pytest.mark.parametrize("field", ["regular_prune_skip_types", "skip_layer_types"])
def test_skipped_types_keep_their_filters(shop, field):
    found = shop.config(f'{filters(0.5)} {field}: "Conv2d"')
    assert found.prune is None


def test_skip_sets_are_joined(shop):
    text = f'{filters(0.5)} skip_layers: "stem.conv" regular_prune_skip_layers: "blocks.0.conv2"'
    assert channels(shop.pruned(text)) == [32, 32, 32]


def test_override_by_name_before_type_before_global(shop):
    text = filters(0.25, "ascend_optimized: false")
    text += by_type("Conv2d", filters(0.5, "ascend_optimized: false"))
    text += by_name("blocks.0.conv1", filters(0.75, "ascend_optimized: false"))
    assert channels(shop.pruned(text)) == [16, 16, 16]


def test_an_override_without_pruning_leaves_the_global_ratio(shop):
    quantized = "retrain_weight_quant_config { arq_retrain { } }"
    text = filters(0.5) + by_name("blocks.0.conv1", quantized)
    assert shop.config(text).prune == shop.config(filters(0.5)).prune


def test_a_skip_of_pruning_counts_more_than_an_override(shop):
    text = filters(0.5) + by_name("stem.conv", filters(0.25))
    assert channels(shop.pruned(f'{text} regular_prune_skip_layers: "stem.conv"'))[0] == 32


def test_an_override_alone_prunes_that_layer(shop):
    assert channels(shop.pruned(by_name("blocks.0.conv1", filters(0.5)))) == [32, 32, 32]


def test_layers_that_cannot_lose_channels_are_told(shop):
    (told,) = [w for w in shop.translated(filters(0.5)).warnings if DENSE in w]
    assert "keeps its filters" in told


def test_a_ratio_that_is_no_share(shop):
    with pytest.raises(ConfigError, match=r"x.cfg:1:1: prune_ratio 1.5 is no share"):
        shop.translated(filters(1.5))


def test_prune_config_without_an_algorithm(shop):
    with pytest.raises(ConfigError, match=r"x.cfg:1:1: prune_config names no algorithm"):
        shop.translated("prune_config { filter_pruner { } }")


def test_m4n2_zeros_half_of_the_weights(shop):
    made = shop.sparsified(pattern("n_out_of_m_type: M4N2"))
    assert is_sparse(made.values(FIRST)) and is_sparse(made.values(SECOND))
    assert np.count_nonzero(made.values(FIRST)) == made.values(FIRST).size // 2


def test_the_larger_weights_stay(shop):
    before = next(c.values for c in shop.model.constants if c.name == "blocks.0.conv1.weight")
    kept = shop.sparsified(pattern()).values(FIRST)
    blocks = np.moveaxis(np.abs(before), 1, -1).reshape(-1, 4)
    zeroed = np.moveaxis(kept, 1, -1).reshape(-1, 4) == 0
    lowest_kept = np.where(zeroed, np.inf, blocks).min(axis=1)
    assert (np.where(zeroed, blocks, 0).max(axis=1) <= lowest_kept).all()


def test_update_freq_is_how_often_masks_are_chosen_anew(shop):
    assert shop.config(pattern("update_freq: 2")).finetune.update_masks == 2
    assert shop.config(pattern()).finetune.update_masks == 0


def test_update_freq_holds_for_its_layer(shop):
    text = pattern() + by_name("blocks.0.conv1", pattern("update_freq: 2"))
    found = shop.translated(text)
    assert not found.warnings
    (rule,) = found.config.finetune.rules
    assert (rule.match.name, rule.update_masks) == (FIRST, 2)
    assert found.origins["finetune.rules[0]"].startswith("x.cfg:2:")
    # Nothing is held out, so the last state is kept, be it better or not.
    fast = {"rate": 3e-2, "warmup": 0.0, "held_out": 0.0}
    tuned = found.config.finetune.model_copy(update=fast)
    before = shop.sparsified(text)
    after = shop.compressed(found.config.model_copy(update={"finetune": tuned}), steps=4)
    moved = {x: ((after.values(x) != 0) != (before.values(x) != 0)).any() for x in (FIRST, SECOND)}
    assert moved == {FIRST: True, SECOND: False}
    assert is_sparse(after.values(FIRST)) and is_sparse(after.values(SECOND))


def test_most_layers_need_no_rule(shop):
    layers = pattern("update_freq: 5") + by_name("stem.conv", pattern())
    found = shop.config(layers).finetune
    assert found.update_masks == 5
    assert [(r.match.name, r.update_masks) for r in found.rules] == [(STEM, 0)]


@pytest.mark.parametrize(
    "skip", ['regular_prune_skip_layers: "blocks.0.conv1"', 'skip_layers: "blocks.0.conv1"']
)
def test_skipped_layers_stay_dense(shop, skip):
    made = shop.sparsified(f"{pattern()} {skip}")
    assert not is_sparse(made.values(FIRST)) and is_sparse(made.values(SECOND))


def test_a_layer_has_fewer_filters_or_a_pattern(shop):
    found = shop.config(filters(0.5) + by_name("blocks.0.conv2", pattern()))
    assert {rule.match.name for rule in found.prune.rules} == {STEM, FIRST}
    assert {selector.name for selector in found.sparsify.skip} == {STEM, FIRST, DENSE}


@pytest.mark.parametrize("text", [filters(0.5), pattern()])
def test_without_quantization_a_float_model_is_made(shop, text):
    found = shop.translated(text)
    assert not found.config.quantize
    assert not any("quantiz" in warning for warning in found.warnings)
    made = shop.compressed(found.config)
    assert not {n.op for n in made.model.nodes} & {"QuantizeLinear", "DequantizeLinear"}
    assert made.values(FIRST).dtype == np.float32
    assert channels(made) == [16, 32, 16] or is_sparse(made.values(FIRST))


def test_with_quantization_it_ends_in_integers(shop):
    found = shop.config(filters(0.5) + "retrain_weight_quant_config { arq_retrain { } }")
    assert found.quantize and found.finetune.quantization is not None


def test_what_only_prunes_is_not_quantized_though_nothing_can_go(shop):
    found = shop.config(f'{filters(0.5)} skip_layer_types: "Conv2d"')
    assert found.prune is None and not found.quantize
