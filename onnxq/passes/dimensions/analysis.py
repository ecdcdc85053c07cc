"""One walk over a model that follows its free dimensions through shapes and shape arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxq.graph import Model, Node, TensorType, derive_types
from onnxq.passes.dimensions.algebra import (
    UNKNOWN,
    Dimension,
    is_dimension,
    may_be_empty,
    symbol,
    unknown,
)
from onnxq.passes.dimensions.contents import CONTENTS
from onnxq.passes.dimensions.known import Dimensions, Element, Known
from onnxq.passes.dimensions.shapes import SHAPES

_LONG = 40


def know(model: Model) -> Known:
    """Shapes and small integer contents of the main graph's tensors, as terms.

    What ONNX's shape inference finds is taken over. Where it lost track of a free dimension
    that follows from the inputs' free dimensions, the term is found again. Linear in nodes.

    A name that several inputs share is one number, as ONNX has it (IR, "dimension variables");
    names that say nothing ('?', a name used twice in one input) are told apart.
    """
    inferred = derive_types(model)
    known = Known(model.opset)
    declared: set[str] = set()
    for tensor in model.inputs:
        dtype, shape = inferred.get(tensor.name, (None, None))
        declared.update(d for d in shape or () if isinstance(d, str))
        known.types[tensor.name] = dtype, _named(shape)
    walk = _Walk(known, inferred, frozenset(declared))
    for node in model.nodes:
        walk.visit(node)
    return known


def _named(shape: tuple[int | str | None, ...] | None) -> Dimensions | None:
    if shape is None:
        return None
    return tuple(symbol(d) if isinstance(d, str) else d for d in shape)


def _countable(dtype: Element, shape: Dimensions | None) -> bool:
    return shape is not None and len(shape) <= 1 and dtype is not None and dtype.kind in "iub"


@dataclass
class _Walk:
    """What was found so far.

    Attributes:
        known: Shapes and contents.
        inferred: What ONNX's shape inference found.
        declared: Names of the inputs' free dimensions.
        meaning: Terms for the names that the inference made up.
        abbreviated: Short names of long terms, which would grow with the depth of the model.
    """

    known: Known
    inferred: Mapping[str, TensorType]
    declared: frozenset[str]
    meaning: dict[str, Dimension] = field(default_factory=dict)
    abbreviated: dict[str, str] = field(default_factory=dict)

    def visit(self, node: Node) -> None:
        """Add what a node computes."""
        for index, tensor in enumerate(node.outputs):
            if not tensor.name:
                continue
            dtype, shape = self.inferred.get(tensor.name, (None, None))
            found = self._shape(node) if index == 0 else None
            merged = self._merged(tensor.name, shape, found)
            self.known.types[tensor.name] = dtype, merged
            if index == 0 and _countable(dtype, merged):
                content = self._content(node)
                if content is not None:
                    self.known.contents[tensor.name] = tuple(map(self._short, content))

    def _shape(self, node: Node) -> Dimensions | None:
        function = SHAPES.get(node.op) if node.standard else None
        try:
            return None if function is None else function(self.known, node)
        except (IndexError, ValueError, ZeroDivisionError):
            # Attributes that do not fit the shapes: the engine will refuse such a model.
            return None

    def _content(self, node: Node) -> Dimensions | None:
        function = CONTENTS.get(node.op) if node.standard else None
        try:
            return None if function is None else function(self.known, node)
        except (IndexError, ValueError, ZeroDivisionError):
            return None

    def _merged(
        self, name: str, inferred: tuple[int | str | None, ...] | None, found: Dimensions | None
    ) -> Dimensions | None:
        """One shape from two; a free dimension that neither can tell gets a name."""
        if inferred is None:
            inferred = (None,) * len(found) if found is not None else None
        if found is None or inferred is None or len(found) != len(inferred):
            found = (None,) * len(inferred or ())
        if inferred is None:
            return None
        return tuple(
            self._one(name, axis, known, mine)
            for axis, (known, mine) in enumerate(zip(inferred, found, strict=True))
        )

    def _one(self, name: str, axis: int, inferred: int | str | None, mine: Dimension) -> Dimension:
        if isinstance(inferred, int) and inferred >= 0:
            return inferred
        if isinstance(inferred, str):
            if inferred in self.declared:
                mine = symbol(inferred)
            elif mine is None:
                mine = self.meaning.get(inferred, unknown(inferred))
            self.meaning.setdefault(inferred, mine)
        return self._short(unknown(name, axis) if mine is None else mine)

    def _short(self, term: Dimension) -> Dimension:
        if not isinstance(term, str) or len(term) < _LONG or not is_dimension(term):
            return term
        mark = UNKNOWN if may_be_empty(term) else ""
        return self.abbreviated.setdefault(term, f"#{mark}{len(self.abbreviated)}")
