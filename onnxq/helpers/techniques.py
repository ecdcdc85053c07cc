"""Ways to quantize by the names that a torch helper module gives them, over ONNX models.

All take a path, bytes, ModelProto, Model, the result of another helper, or a torch module with
`example_inputs`, and return a result: `result.model` is the quantized model, `onnxq.save` writes
it, and `result.to_dict()` tells everything else. What the helper module's document leaves open:

* Where ranges are found, samples are given as `calibration`. Without, inputs are made up, and the
  result's first warning says that its accuracy means nothing.
* A qconfig names formats; how ranges are found is searched (effort `quick`), as `config` wishes.
* Pruning-aware: whole filters are removed, then the rest is trained with its rounding to compute
  what the model did; without samples it is only quantized.
* Distillation learns softened outputs of the teacher, which are matched with those of the student
  by their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from onnxq.compat.refusing import WrongValueError
from onnxq.config import Config
from onnxq.graph import Model
from onnxq.helpers.alike import named_alike
from onnxq.helpers.formats import qconfig_named, weights_of_dtype
from onnxq.helpers.models import as_model
from onnxq.helpers.wishes import lacks_samples, learning_labels, training_block, with_wishes
from onnxq.plan import Integer
from onnxq.workflow import (
    RANDOM_WARNING,
    CompressResult,
    FinetuneResult,
    QuantizeResult,
    compress,
    finetune,
    plan_only,
    quantize,
)

_PRODUCTS = ("MatMul", "Gemm")


def dynamic_quantization(
    model: Any,
    dtype: Any = "qint8",
    *,
    calibration: object = None,
    config: Config | None = None,
    example_inputs: Any = None,
) -> QuantizeResult:
    """Store weights of matrix products in integers; their data is rounded anew in every run.

    Args:
        model: The model.
        dtype: Type of the weights, as `torch.qint8` or "qint8".
        calibration: Samples to judge the result on.
        config: What else is wished.
        example_inputs: Of a torch module.

    Raises:
        ValueError: if weights cannot have the type.
        OnnxqError: as `onnxq.quantize`.
    """
    given = as_model(model, example_inputs)
    blocks: dict[str, Any] = {
        "weights": weights_of_dtype(dtype),
        "activations": {"dynamic": True},
    }
    wished = with_wishes(config, blocks, calibration)
    others = _integers_of_other_kinds(given, wished)
    return quantize(given, calibration=calibration, config=with_wishes(wished, {"skip": others}, 0))


def static_quantization(
    model: Any,
    qconfig: str = "fbgemm",
    *,
    calibration: object = None,
    config: Config | None = None,
    example_inputs: Any = None,
) -> QuantizeResult:
    """Quantize weights and activations, with ranges found on samples.

    Args:
        model: The model.
        qconfig: Formats: fbgemm, x86, onednn or qnnpack.
        calibration: Samples, as for `onnxq.quantize`.
        config: What else is wished.
        example_inputs: Of a torch module.

    Raises:
        ValueError: if there is no such qconfig.
        OnnxqError: as `onnxq.quantize`.
    """
    blocks = qconfig_named(qconfig).blocks
    given = as_model(model, example_inputs)
    return quantize(given, calibration=calibration, config=with_wishes(config, blocks, calibration))


def fx_graph_mode_quantization(
    model: Any, example_inputs: Any, qconfig: str = "fbgemm", **others: Any
) -> QuantizeResult:
    """As `static_quantization`, of a torch module that is exported to ONNX first.

    Args:
        model: A torch module, or any other model, which needs no example.
        example_inputs: A tensor, a tuple of them or a mapping by name. They calibrate too, unless
            `calibration` is given.
        qconfig: Formats: fbgemm, x86, onednn or qnnpack.
        others: `calibration` and `config`.

    Raises:
        ValueError: if there is no such qconfig.
        ModelError: if torch cannot export the module.
    """
    qconfig_named(qconfig)
    given = as_model(model, example_inputs)
    if others.get("calibration") is None and example_inputs is not None:
        others["calibration"] = [_one_feed(given, example_inputs)]
    return static_quantization(given, qconfig, **others)


def quantization_aware_training(
    model: Any,
    qconfig: str = "fbgemm",
    *,
    data: object = None,
    labels: Any = None,
    config: Config | None = None,
    example_inputs: Any = None,
) -> FinetuneResult:
    """Train a model with the rounding that its quantized form will have.

    Args:
        model: The model. Without labels it learns to compute what it computes now.
        qconfig: Formats: fbgemm, x86, onednn or qnnpack.
        data: Training inputs, as for `onnxq.finetune`.
        labels: Labels of them, [samples, …]: class numbers, or values to come close to. They
            are learned beside what the model computes, unless `config` names losses.
        config: What else is wished; `finetune` says how to train.
        example_inputs: Of a torch module.

    Raises:
        ValueError: if there is no such qconfig.
        OnnxqError: as `onnxq.finetune`.
    """
    blocks = qconfig_named(qconfig).blocks
    given = as_model(model, example_inputs)
    wished = with_wishes(config, {**blocks, **training_block(config)}, data)
    return _trained(given, data, labels, learning_labels(wished, labels))


def mixed_precision_quantization(
    model: Any,
    bits_weights: int = 8,
    bits_activations: int = 8,
    *,
    layers: Mapping[str, tuple[int, int]] | None = None,
    calibration: object = None,
    config: Config | None = None,
    example_inputs: Any = None,
) -> QuantizeResult:
    """Quantize weights and activations to widths of their own.

    Args:
        model: The model.
        bits_weights: Of weights, 2 to 16.
        bits_activations: Of activations, 2 to 16.
        layers: (weights, activations) of single layers, by name or glob.
        calibration: Samples, as for `onnxq.quantize`.
        config: What else is wished.
        example_inputs: Of a torch module.

    Raises:
        ConfigError: if a width is out of range, or a name matches no layer.
        OnnxqError: as `onnxq.quantize`.
    """
    rules = [
        {
            "match": {"glob": name},
            "weights": {"bits": weights},
            "activations": {"bits": activations},
        }
        for name, (weights, activations) in (layers or {}).items()
    ]
    blocks: dict[str, Any] = {
        "weights": {"bits": bits_weights},
        "activations": {"bits": bits_activations},
        "overrides": rules,
    }
    given = as_model(model, example_inputs)
    return quantize(given, calibration=calibration, config=with_wishes(config, blocks, calibration))


def pruning_aware_quantization(
    model: Any,
    pruning_rate: float = 0.5,
    *,
    calibration: object = None,
    config: Config | None = None,
    example_inputs: Any = None,
) -> CompressResult:
    """Remove filters, then train and quantize what is left.

    Args:
        model: The model.
        pruning_rate: Share of the filters that goes, above 0 and below 1.
        calibration: Samples: they score filters, and teach what is left. Without, filters go by
            their norm and nothing is trained.
        config: What else is wished; `finetune` says how to train.
        example_inputs: Of a torch module.

    Raises:
        ValueError: if the rate is not between 0 and 1.
        OnnxqError: as `onnxq.compress`.
    """
    if not 0 < pruning_rate < 1:
        raise WrongValueError(
            f"must lie between 0 and 1, here {pruning_rate}",
            where="pruning_rate",
            remedy="give the share of the filters that goes",
        )
    given = as_model(model, example_inputs)
    made_up = lacks_samples(config, calibration)
    training = {} if made_up else training_block(config)
    blocks = {"prune": {"ratio": pruning_rate}, **training}
    wished = with_wishes(config, blocks, calibration)
    found = compress(given, calibration=calibration, config=wished)
    return replace(found, warnings=(RANDOM_WARNING, *found.warnings)) if made_up else found


def knowledge_distillation_quantization(
    teacher_model: Any,
    student_model: Any,
    temperature: float = 2.0,
    *,
    data: object = None,
    config: Config | None = None,
    example_inputs: Any = None,
) -> FinetuneResult:
    """Train a quantized student to answer as a float teacher does.

    Args:
        teacher_model: The model that is right. Inputs and outputs correspond in order.
        student_model: The model that is quantized; it may be the same.
        temperature: Both outputs are divided by it before softmax, above 0.
        data: Training inputs, as for `onnxq.finetune`.
        config: What else is wished; `finetune` says how to train.
        example_inputs: Of torch modules.

    Raises:
        ConfigError: if the temperature is not positive.
        ValueError: if teacher and student differ in their numbers of inputs or outputs.
        OnnxqError: as `onnxq.finetune`.
    """
    student = as_model(student_model, example_inputs)
    teacher = named_alike(as_model(teacher_model, example_inputs), student)
    losses = [{"kind": "distill", "temperature": temperature}]
    wished = with_wishes(config, training_block(config, losses=losses), data)
    return _trained(student, data, None, wished, teacher)


def _trained(
    model: Model, data: object, labels: Any, config: Config, teacher: Model | None = None
) -> FinetuneResult:
    found = finetune(model, data=data, labels=labels, teacher=teacher, config=config)
    if not config.calibration.random:
        return found
    return replace(found, warnings=(RANDOM_WARNING, *found.warnings))


def _integers_of_other_kinds(model: Model, config: Config) -> list[dict[str, str]]:
    """What would run in integers with ranges of calibration: all but matrix products."""
    plan, prepared = plan_only(model, config)
    names = {n for n, d in plan.nodes.items() if isinstance(d, Integer) and d.role != "dynamic"}
    kinds = {node.op for node in prepared.nodes if node.name in names and node.op not in _PRODUCTS}
    return [{"op_type": kind} for kind in sorted(kinds)]


def _one_feed(model: Model, examples: Any) -> dict[str, Any]:
    """Example inputs as a sample."""
    names = [tensor.name for tensor in model.inputs]
    if isinstance(examples, Mapping):
        return dict(examples)
    values = examples if isinstance(examples, list | tuple) else (examples,)
    return dict(zip(names, values, strict=False))
