"""One width for all weights and one for all activations, with hyper-parameters."""

from __future__ import annotations

from typing import Any

from onnxq.compat.documents import Document
from onnxq.compat.hyper_parameters import HYPER_PARAMETERS, tuning, whole
from onnxq.compat.translation import Translation
from onnxq.config import ActivationFormat, FakeQuantization, WeightFormat
from onnxq.errors import ConfigError

FORM = "QAT-base dictionary"
_WIDTHS = {
    "Weight_bit": ("weights", WeightFormat),
    "Activation_bit": ("activations", ActivationFormat),
}
KEYS = (*_WIDTHS, *HYPER_PARAMETERS)


def from_qat_base(document: Document) -> Translation:
    """Say such a dictionary in our own configuration; a width that is left out is 8.

    Raises:
        ConfigError: if a key is unknown or a value cannot be.
    """
    document.check_keys(document.values, KEYS, "")
    values, origins, warnings = tuning(document, FakeQuantization(outer_bits=None))
    # The widths are decided: nothing else is tried, and no layer returns to float.
    values["effort"] = "none"
    for key, (block, form) in _WIDTHS.items():
        bits = document.values.get(key, 8)
        values[block] = _format(document, key, form, bits)
        if key in document.values:
            origins[f"{block}.bits"] = document.lines.get(key, document.path)
    config = whole(document, values)
    return Translation(config, FORM, {"": document.path, **origins}, tuple(warnings))


def _format(document: Document, key: str, form: Any, bits: object) -> Any:
    try:
        return form(bits=bits)
    except ConfigError as error:
        raise document.wrong(key, error.what, "give 2 to 16 bits") from None
