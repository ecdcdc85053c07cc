"""Which modules an entry of NNI's `config_list` is about."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onnxq.compat.documents import Document
from onnxq.compat.layers import Layer, named, typed
from onnxq.compat.torch_types import KNOWN_CLASSES
from onnxq.config import interrupted_after
from onnxq.errors import ConfigError

_SECONDS = 2.0

SELECTION_KEYS = (
    "op_names",
    "op_names_re",
    "op_types",
    "exclude_op_names",
    "exclude_op_names_re",
    "exclude_op_types",
)


def selected(
    document: Document,
    entry: Mapping[str, Any],
    key: str,
    layers: Sequence[Layer],
    warn: Callable[[str], None],
) -> list[Layer]:
    """((op_names or op_names_re) and op_types) less what is excluded.

    Raises:
        ConfigError: if a name matches no layer, an expression does not compile, or nothing is
            left.
    """
    picker = _Picker(document, entry, key, layers, warn)
    chosen = picker.named("op_names") | picker.expressed("op_names_re")
    if not entry.get("op_names") and not entry.get("op_names_re"):
        chosen = {layer.name for layer in layers}
    if entry.get("op_types"):
        chosen &= picker.typed("op_types")
    chosen -= picker.named("exclude_op_names")
    chosen -= picker.expressed("exclude_op_names_re")
    chosen -= picker.typed("exclude_op_types")
    found = [layer for layer in layers if layer.name in chosen]
    if not found:
        raise document.wrong(key, "the entry selects no layer of the model", "exclude less")
    return found


class _Picker:
    def __init__(
        self,
        document: Document,
        entry: Mapping[str, Any],
        key: str,
        layers: Sequence[Layer],
        warn: Callable[[str], None],
    ) -> None:
        self.document, self.entry, self.key = document, entry, key
        self.layers, self.warn = layers, warn

    def named(self, field: str) -> set[str]:
        return {
            layer.name
            for name, where in self._values(field)
            for layer in named(self.layers, name, where)
        }

    def typed(self, field: str) -> set[str]:
        found: set[str] = set()
        for kind, where in self._values(field):
            if kind in KNOWN_CLASSES and not any(kind in layer.types for layer in self.layers):
                self.warn(f"{where}: the model has no {kind}")
            else:
                found |= {layer.name for layer in typed(self.layers, kind, where)}
        return found

    def expressed(self, field: str) -> set[str]:
        """NNI matches at the beginning of a module's name."""
        found: set[str] = set()
        for text, where in self._values(field):
            try:
                pattern = re.compile(text)
            except (re.error, OverflowError, RecursionError) as error:
                raise self.document.wrong(
                    f"{self.key}.{field}", f"'{text}' is not a regular expression: {error}"
                ) from None
            with interrupted_after(_SECONDS, self._endless(text, where)):
                matched = {x.name for x in self.layers if any(pattern.match(m) for m in x.modules)}
            if not matched:
                self.warn(f"{where}: '{text}' matches no module")
            found |= matched
        return found

    def _endless(self, text: str, where: str) -> ConfigError:
        return ConfigError(
            f"the regular expression '{text}' takes too long",
            where=where,
            why=f"after {_SECONDS:g} s it is not known which modules it matches",
            remedy="do not repeat what repeats, as in (a+)+",
        )

    def _values(self, field: str) -> list[tuple[str, str]]:
        values = self.entry.get(field) or []
        if not isinstance(values, list | tuple) or not all(isinstance(v, str) for v in values):
            raise self.document.wrong(f"{self.key}.{field}", "must be a list of texts")
        where = self.document.where
        return [(v, where(f"{self.key}.{field}[{n}]")) for n, v in enumerate(values)]
