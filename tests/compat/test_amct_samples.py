"""AMCT's five kinds of file, with every field they show, from the text to the compressed model."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from onnxq.compat import translate
from onnxq.workflow import compress

QUANTIZATION = """
retrain_data_quant_config: {
    ulq_quantize: { clip_max_min: { clip_max: 6.0 clip_min: -6.0 } fixed_min: true dst_type: INT8 }
}
retrain_weight_quant_config: { arq_retrain: { channel_wise: true dst_type: INT8 } }
skip_layers: "stem.conv"
skip_layer_types: "Linear"
override_layer_types : {
    layer_type: "Conv2d"
    retrain_weight_quant_config: { arq_retrain: { channel_wise: false dst_type: INT4 } }
}
override_layer_configs : {
    layer_name: "residual.conv"
    retrain_data_quant_config: {
        ulq_quantize: { clip_max_min: { clip_max: 3.0 clip_min: -3.0 } dst_type: INT4 }
    }
}
"""
FILTERS = """
prune_config { filter_pruner { balanced_l2_norm_filter_prune {
    prune_ratio: 0.3 ascend_optimized: True
} } }
regular_prune_skip_layers: "stem.conv"
regular_prune_skip_layers: "tail.conv"
override_layer_configs: {
    layer_name: "residual.first.conv"
    prune_config : { filter_pruner: { balanced_l2_norm_filter_prune: {
        prune_ratio: 0.6 ascend_optimized: True
    } } }
}
"""
PATTERN = """
prune_config { n_out_of_m_pruner { l1_selective_prune { n_out_of_m_type: M4N2 update_freq: 0 } } }
regular_prune_skip_layers: "widen.conv"
regular_prune_skip_layers: "tail.conv"
override_layer_configs: {
    layer_name: "residual.conv"
    prune_config : { n_out_of_m_pruner: { l1_selective_prune: {
        n_out_of_m_type: M4N2 update_freq: 1
    } } }
}
"""
COMBINED = """
prune_config : {{ {pruner} }}
skip_layer_types: "Linear"
quant_skip_layers: "tail.conv"
quant_skip_types: "Linear"
retrain_weight_quant_config: {{ arq_retrain: {{ channel_wise: true dst_type: INT8 }} }}
override_layer_configs : {{
    layer_name: "widen.conv"
    retrain_weight_quant_config: {{ arq_retrain: {{ channel_wise: false dst_type: INT8 }} }}
    retrain_data_quant_config : {{
        ulq_quantize : {{ clip_max_min : {{ clip_max : 6.0 clip_min : -6.0 }} }}
    }}
    prune_config : {{ {other} }}
}}
"""
_FILTER = "filter_pruner : {{ balanced_l2_norm_filter_prune : {{ prune_ratio : {} }} }}"
_PATTERN = "n_out_of_m_pruner {{ l1_selective_prune {{ n_out_of_m_type: M4N2 update_freq: {} }} }}"
BOTH_FILTERS = COMBINED.format(pruner=_FILTER.format(0.3), other=_FILTER.format(0.5))
BOTH_PATTERN = COMBINED.format(pruner=_PATTERN.format(0), other=_PATTERN.format(1))


class Made:
    """A compressed model: its weights as stored, by layer."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.proto = proto
        stored = {t.name: t for t in proto.graph.initializer}
        writers = {node.output[0]: node for node in proto.graph.node}
        self.types: dict[str, str] = {}
        self.codes: dict[str, np.ndarray] = {}
        self.scales: dict[str, tuple[int, ...]] = {}
        for node in proto.graph.node:
            if node.op_type not in ("Conv", "Gemm"):
                continue
            layer = node.name.strip("/").rpartition("/")[0].replace("/", ".")
            source = writers.get(node.input[1])
            name = node.input[1] if source is None else source.input[0]
            self.types[layer] = onnx.TensorProto.DataType.Name(stored[name].data_type)
            self.codes[layer] = onnx.numpy_helper.to_array(stored[name])
            self.scales[layer] = () if source is None else tuple(stored[source.input[1]].dims)

    def sparse(self, layer: str) -> bool:
        rows = np.moveaxis(self.codes[layer], 1, -1)
        blocks = rows.reshape(-1, 4)
        return bool((np.count_nonzero(blocks, axis=1) <= 2).all())


@pytest.fixture(scope="module")
def compressed(digits):
    known: dict[str, Made] = {}

    def run(text: str) -> Made:
        if text not in known:
            config = translate(text, "x.cfg", digits.model).config
            short = {"steps": 1, "batch": 8, "evaluations": 1}
            tuned = config.finetune.model_copy(update=short)
            config = config.model_copy(update={"finetune": tuned})
            result = compress(digits.model, calibration=digits.calibration, config=config)
            known[text] = Made(result.model.to_proto())
        return known[text]

    return run


@pytest.mark.parametrize(
    "text",
    [QUANTIZATION, FILTERS, PATTERN, BOTH_FILTERS, BOTH_PATTERN],
    ids=["quant", "prune", "selective prune", "compressed 1", "compressed 2"],
)
def test_the_model_runs_and_reads_digits(compressed, digits, text):
    made = compressed(text)
    onnx.checker.check_model(made.proto, full_check=True)
    session = ort.InferenceSession(
        made.proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(None, {"image": digits.images})
    # One step of training; a guess would be right in a tenth.
    assert (logits.argmax(1) == digits.labels).mean() > 0.5


def test_quantization(compressed):
    made = compressed(QUANTIZATION)
    # The override by type counts even for the layer that is skipped; the one by name replaces it.
    assert made.types == {
        "stem.conv": "INT4",
        "widen.conv": "INT4",
        "residual.first.conv": "INT4",
        "residual.conv": "INT8",
        "tail.conv": "INT4",
        "classify": "FLOAT",
    }
    assert made.scales["widen.conv"] == () and made.scales["residual.conv"] == (48,)


def test_filters(compressed):
    made = compressed(FILTERS)
    left = {layer: codes.shape[0] for layer, codes in made.codes.items()}
    # 0.7 of 48 is 33.6, of which 32 are multiples of 16; 0.4 of 48 is 19.2, so 16 stay.
    assert left == {
        "stem.conv": 32,
        "widen.conv": 32,
        "residual.first.conv": 16,
        "residual.conv": 32,
        "tail.conv": 64,
        "classify": 10,
    }


def test_pattern(compressed):
    made = compressed(PATTERN)
    assert made.sparse("residual.first.conv") and made.sparse("residual.conv")
    assert not made.sparse("widen.conv") and not made.sparse("tail.conv")


def test_filters_and_quantization(compressed):
    made = compressed(BOTH_FILTERS)
    assert made.types["tail.conv"] == made.types["classify"] == "FLOAT"
    assert made.types["widen.conv"] == made.types["residual.conv"] == "INT8"
    assert made.scales["widen.conv"] == () and made.scales["residual.first.conv"] == (32,)
    assert made.codes["widen.conv"].shape[0] < 48 and made.codes["tail.conv"].shape[0] == 48


def test_pattern_and_quantization(compressed):
    made = compressed(BOTH_PATTERN)
    assert made.types["residual.conv"] == "INT8" and made.sparse("residual.conv")
    assert made.types["tail.conv"] == "FLOAT" and made.sparse("tail.conv")
    assert made.scales["widen.conv"] == () and made.sparse("widen.conv")
