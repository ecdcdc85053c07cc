"""AMCT's simple configuration for retraining, as protobuf messages made at run time.

Names, numbers and defaults are those of AMCT's own definition (`retrain_config_pytorch.proto`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "AMCTPytorchProto"
ROOT = "AMCTRetrainConfig"

_Field = tuple[str, int, str, str, str]
"""Name, number, label, type, and default or (for a label `oneof`) the name of the choice."""

_ENUMS: Mapping[str, Mapping[str, int]] = {
    "DataType": {"INT4": 0, "INT8": 1, "INT16": 2},
    "FakequantPrecisionMode": {"FORCE_FP16_QUANT": 1},
    "NOutOfMType": {"M4N2": 0},
}

_OVERRIDE: tuple[_Field, ...] = (
    ("retrain_data_quant_config", 2, "optional", "RetrainDataQuantConfig", ""),
    ("retrain_weight_quant_config", 3, "optional", "RetrainWeightQuantConfig", ""),
    ("prune_config", 4, "optional", "PruneConfig", ""),
)

_WEIGHTS: tuple[_Field, ...] = (
    ("dst_type", 1, "optional", "DataType", "INT8"),
    ("channel_wise", 2, "optional", "bool", ""),
)

_MESSAGES: Mapping[str, tuple[_Field, ...]] = {
    ROOT: (
        ("batch_num", 1, "optional", "uint32", "1"),
        ("retrain_data_quant_config", 2, "optional", "RetrainDataQuantConfig", ""),
        ("retrain_weight_quant_config", 3, "optional", "RetrainWeightQuantConfig", ""),
        ("skip_layers", 4, "repeated", "string", ""),
        ("override_layer_configs", 5, "repeated", "RetrainOverrideLayer", ""),
        ("skip_layer_types", 6, "repeated", "string", ""),
        ("override_layer_types", 7, "repeated", "RetrainOverrideLayerType", ""),
        ("prune_config", 8, "optional", "PruneConfig", ""),
        ("regular_prune_skip_layers", 9, "repeated", "string", ""),
        ("regular_prune_skip_types", 10, "repeated", "string", ""),
        ("quant_skip_layers", 11, "repeated", "string", ""),
        ("quant_skip_types", 12, "repeated", "string", ""),
        ("fakequant_precision_mode", 21, "optional", "FakequantPrecisionMode", ""),
    ),
    "RetrainDataQuantConfig": (("ulq_quantize", 13, "oneof", "ActULQquantize", "config"),),
    "ActULQquantize": (
        ("clip_max_min", 1, "optional", "ClipMaxMin", ""),
        ("fixed_min", 2, "optional", "bool", ""),
        ("dst_type", 3, "optional", "DataType", "INT8"),
    ),
    "ClipMaxMin": (
        ("clip_max", 3, "required", "float", ""),
        ("clip_min", 5, "required", "float", ""),
    ),
    "RetrainWeightQuantConfig": (
        ("arq_retrain", 1, "oneof", "ARQRetrain", "config"),
        ("ulq_retrain", 2, "oneof", "WtsULQRetrain", "config"),
    ),
    "ARQRetrain": _WEIGHTS,
    "WtsULQRetrain": _WEIGHTS,
    "RetrainOverrideLayer": (("layer_name", 1, "required", "string", ""), *_OVERRIDE),
    "RetrainOverrideLayerType": (("layer_type", 1, "required", "string", ""), *_OVERRIDE),
    "PruneConfig": (
        ("filter_pruner", 1, "oneof", "FilterPruner", "pruner"),
        ("n_out_of_m_pruner", 2, "oneof", "NOutOfMPruner", "pruner"),
    ),
    "FilterPruner": (
        ("balanced_l2_norm_filter_prune", 1, "oneof", "BalancedL2NormFilterPruner", "pruner"),
    ),
    "BalancedL2NormFilterPruner": (
        ("prune_ratio", 1, "required", "float", ""),
        ("ascend_optimized", 2, "optional", "bool", "true"),
    ),
    "NOutOfMPruner": (("l1_selective_prune", 1, "oneof", "L1SelectivePruner", "pruner"),),
    "L1SelectivePruner": (
        ("n_out_of_m_type", 1, "optional", "NOutOfMType", "M4N2"),
        ("update_freq", 2, "optional", "uint32", "0"),
    ),
}

FIELDS = frozenset(field[0] for field in _MESSAGES[ROOT])
"""What may stand at the top of such a file."""

_Proto = descriptor_pb2.FieldDescriptorProto
_SCALARS: Mapping[str, Any] = {
    "uint32": _Proto.TYPE_UINT32,
    "string": _Proto.TYPE_STRING,
    "bool": _Proto.TYPE_BOOL,
    "float": _Proto.TYPE_FLOAT,
}
_LABELS: Mapping[str, Any] = {
    "optional": _Proto.LABEL_OPTIONAL,
    "oneof": _Proto.LABEL_OPTIONAL,
    "repeated": _Proto.LABEL_REPEATED,
    "required": _Proto.LABEL_REQUIRED,
}


def empty_message() -> Any:
    """A new message of the whole configuration."""
    return _root()()


@cache
def _root() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="onnxq/amct_retrain.proto", package=PACKAGE, syntax="proto2"
    )
    for name, values in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields:
            _add(message, field)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{ROOT}"))


def _add(message: Any, field: _Field) -> None:
    name, number, label, kind, extra = field
    added = message.field.add(name=name, number=number, label=_LABELS[label])
    if kind in _SCALARS:
        added.type = _SCALARS[kind]
    else:
        added.type = _Proto.TYPE_ENUM if kind in _ENUMS else _Proto.TYPE_MESSAGE
        added.type_name = f".{PACKAGE}.{kind}"
    if label != "oneof":
        if extra:
            added.default_value = extra
        return
    choices = [choice.name for choice in message.oneof_decl]
    if extra not in choices:
        message.oneof_decl.add(name=extra)
        choices.append(extra)
    added.oneof_index = choices.index(extra)
