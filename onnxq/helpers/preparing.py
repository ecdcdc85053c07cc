"""Any of the techniques, by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from onnxq.compat.refusing import WrongValueError
from onnxq.helpers.models import Result
from onnxq.helpers.techniques import (
    dynamic_quantization,
    fx_graph_mode_quantization,
    knowledge_distillation_quantization,
    mixed_precision_quantization,
    pruning_aware_quantization,
    quantization_aware_training,
    static_quantization,
)


def _distilled(model: Any, **settings: Any) -> Result:
    """The model teaches `student_model`, or is taught by `teacher_model`, or teaches itself."""
    if "teacher_model" in settings:
        return knowledge_distillation_quantization(
            settings.pop("teacher_model"), settings.pop("student_model", model), **settings
        )
    return knowledge_distillation_quantization(
        model, settings.pop("student_model", model), **settings
    )


TECHNIQUES: Mapping[str, Callable[..., Result]] = {
    "dynamic": dynamic_quantization,
    "static": static_quantization,
    "qat": quantization_aware_training,
    "fx": fx_graph_mode_quantization,
    "mixed": mixed_precision_quantization,
    "pruning": pruning_aware_quantization,
    "distillation": _distilled,
}


def prepare_model_for_quantization(model: Any, technique: str = "dynamic", **kwargs: Any) -> Result:
    """Quantize a model by the named technique.

    Args:
        model: The model; for `distillation` the teacher, unless `teacher_model` names one.
        technique: dynamic, static, qat, fx, mixed, pruning or distillation.
        kwargs: Further arguments of the technique's function.

    Raises:
        ValueError: if there is no such technique.
        OnnxqError: as that function.
    """
    if technique not in TECHNIQUES:
        near = get_close_matches(str(technique), TECHNIQUES, n=1)
        raise WrongValueError(
            f"there is no technique '{technique}'",
            where="technique",
            why=f"did you mean '{near[0]}'?" if near else "",
            remedy=f"use {', '.join(TECHNIQUES)}",
        )
    return TECHNIQUES[technique](model, **kwargs)
