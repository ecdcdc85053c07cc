"""The two classes under which the helper module offers its techniques."""

from __future__ import annotations

from onnxq.helpers import techniques


class QuantizationTechniques:
    """The basic techniques; they need no instance."""

    dynamic_quantization = staticmethod(techniques.dynamic_quantization)
    static_quantization = staticmethod(techniques.static_quantization)
    quantization_aware_training = staticmethod(techniques.quantization_aware_training)
    fx_graph_mode_quantization = staticmethod(techniques.fx_graph_mode_quantization)


class AdvancedQuantizationTechniques:
    """The advanced ones; they need no instance."""

    mixed_precision_quantization = staticmethod(techniques.mixed_precision_quantization)
    pruning_aware_quantization = staticmethod(techniques.pruning_aware_quantization)
    knowledge_distillation_quantization = staticmethod(
        techniques.knowledge_distillation_quantization
    )
