"""What a rule may ask of a model, and the edits it may make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import (
    Constant,
    Graph,
    Model,
    Node,
    Tensor,
    Variable,
    bodies,
    bound_constant,
    constant,
    read,
    replace_uses,
    set_input,
    take_output,
    unlink,
)
from onnxq.passes.dimensions import Known, content_of

Shape = tuple[int | str | None, ...]


class Workspace:
    """A model open for rewriting. Every question is answered in constant time.

    Edits must go through the methods below: they keep count of what was touched, and nodes
    whose results nobody reads any more vanish by themselves after each application.

    Attributes:
        model: The model.
        opset: Version of ONNX's operator set in it.
    """

    def __init__(self, model: Model, known: Known) -> None:
        self.model = model
        self.opset = model.opset
        self._types, self._contents = known.types, known.contents
        self._held = {id(t) for t in model.outputs}
        # A body may return a tensor of the main graph, which counts as no reader.
        self._held.update(id(t) for n in model.nodes for b in bodies(n) for t in _returned(b))
        self._main = {id(node) for node in model.nodes}
        # Those of ONNX itself among them, which alone rules look at.
        self._ours = {id(node) for node in model.nodes if node.standard}
        self._removed: dict[int, Node] = {}
        self._added: list[Node] = []
        self._touched: dict[int, Node] = {}
        self._orphans: list[Node] = []

    # Questions.

    def dtype(self, tensor: Tensor) -> np.dtype[Any] | None:
        """Element type, if it is known."""
        if isinstance(tensor, Constant):
            return tensor.stored.dtype
        return self._types.get(tensor.name, (None, None))[0]

    def shape(self, tensor: Tensor) -> Shape | None:
        """Dimensions as far as they follow from the model's inputs; None if not even the rank.

        A free dimension is a term (see `onnxq.passes.dimensions`): equal terms are equal numbers.
        """
        known = bound_constant(tensor)
        if known is not None:
            return tuple(known.stored.shape)
        return self._types.get(tensor.name, (None, None))[1]

    def rank(self, tensor: Tensor) -> int | None:
        """Number of dimensions, if it is known."""
        shape = self.shape(tensor)
        return None if shape is None else len(shape)

    def value(self, tensor: Tensor | None) -> NDArray[Any] | None:
        """The value of a constant nobody can override; never write to it. Else None."""
        known = None if tensor is None else bound_constant(tensor)
        return None if known is None else read(known)

    def content(self, tensor: Tensor | None) -> Shape | None:
        """Elements of a small integer or boolean tensor of at most one axis, as numbers and terms.

        None in place of an element of which nothing is known; booleans are 0 and 1.
        """
        if tensor is None:
            return None
        known = bound_constant(tensor)
        return self._contents.get(tensor.name) if known is None else content_of(known)

    def scalar(self, tensor: Tensor | None) -> float | None:
        """The value of a constant of one element, whatever its rank. Else None."""
        known = None if tensor is None else bound_constant(tensor)
        if known is None or known.size != 1 or known.stored.dtype.kind not in "fiu":
            return None
        return float(read(known).reshape(-1)[0])

    def input(self, node: Node, index: int) -> Tensor | None:
        """An input of a node; None where an optional one is left out."""
        if len(node.inputs) <= index or not node.inputs[index].name:
            return None
        return node.inputs[index]

    def is_held(self, tensor: Tensor) -> bool:
        """Whether the model (or a body) returns this very tensor, so that it must stay."""
        return id(tensor) in self._held

    def producer(self, tensor: Tensor | None, *operators: str) -> Node | None:
        """The main graph's node that computes a tensor, if its operator is among those named.

        Any ONNX operator will do where none is named.
        """
        if tensor is None or not tensor.inputs:
            return None
        node = tensor.inputs[0]
        if operators and node.op not in operators:
            return None
        return node if id(node) in self._ours else None

    def only_reader(self, tensor: Tensor, *operators: str) -> Node | None:
        """The ONNX node that alone reads a tensor, once, if its operator is among those named.

        None too where the model returns the tensor, or a body reads it.
        """
        if len(tensor.outputs) != 1 or self.is_held(tensor):
            return None
        node = tensor.outputs[0]
        if operators and node.op not in operators:
            return None
        return node if id(node) in self._ours else None

    def readers(self, tensor: Tensor) -> list[Node] | None:
        """All nodes that read a tensor, each once; None if others may see it.

        Others are callers of the model, bodies and operators of other domains.
        """
        if self.is_held(tensor):
            return None
        nodes = list({id(n): n for n in tensor.outputs}.values())
        if any(id(n) not in self._ours for n in nodes):
            return None
        return nodes

    def is_alive(self, node: Node) -> bool:
        """Whether a node still belongs to the main graph."""
        return id(node) in self._main

    # Edits.

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> Constant:
        """A new constant; the name is made unique."""
        return constant(self.model.new_name(name), np.asarray(value, order="C"))

    def add(
        self,
        op: str,
        inputs: Sequence[Tensor | None],
        *,
        name: str,
        attrs: dict[str, Any] | None = None,
        shape: Shape | None = None,
        dtype: np.dtype[Any] | None = None,
    ) -> Variable:
        """A new node of one output, which is returned.

        Args:
            op: The operator.
            inputs: What it reads; None leaves an optional input out.
            name: Of the node and, with `_output`, of the tensor; made unique.
            attrs: Attributes; those whose value is None are left out.
            shape: Shape of the result, if known, so that later rules need not guess.
            dtype: Element type of the result; by default that of the first input.
        """
        known = [Variable("") if t is None else t for t in inputs]
        output = Variable(self.model.new_name(f"{name}_output"))
        given = {key: value for key, value in (attrs or {}).items() if value is not None}
        node = Node(op, self.model.new_name(name), known, [output], given)
        self._types[output.name] = (dtype or (self.dtype(known[0]) if known else None), shape)
        self._main.add(id(node))
        self._ours.add(id(node))
        self._added.append(node)
        self.touch(node)
        return output

    def add_results(self, first: Variable, shapes: Sequence[Shape | None]) -> list[Variable]:
        """Further results of a new node, of the same type as the one that `add` returned."""
        node = first.inputs[0]
        for shape in shapes:
            output = Variable(self.model.new_name(f"{node.name}_output"))
            take_output(output, node, len(node.outputs))
            self._types[output.name] = (self.dtype(first), shape)
        return [t for t in node.outputs if isinstance(t, Variable)]

    def rewire(self, node: Node, index: int, tensor: Tensor) -> None:
        """Let a node read `tensor` as input `index`."""
        if len(node.inputs) > index:
            self._lost_reader(node.inputs[index])
        set_input(node, index, tensor)
        self.touch(node)

    def drop_inputs(self, node: Node, first: int) -> None:
        """Leave out the inputs of a node from `first` on."""
        for tensor in node.inputs[first:]:
            self._lost_reader(tensor)
        node.inputs = list(node.inputs[:first])
        self.touch(node)

    def change(self, node: Node, op: str | None = None, **attrs: Any) -> None:
        """Set attributes of a node (None removes one), and its operator if one is named."""
        node.op = op or node.op
        for key, value in attrs.items():
            node.attrs[key] = value
            if value is None:
                del node.attrs[key]
        self.touch(node)

    def obstacle(self, old: Tensor, new: Tensor) -> str:
        """Why `substitute(old, new)` is impossible; empty if it is possible."""
        if not self.is_held(old):
            return ""
        if not isinstance(new, Variable) or not new.inputs or self.is_held(new):
            return f"joins the output '{old.name}' to a tensor that keeps its own name"
        if id(new.inputs[0]) not in self._main:
            return f"'{new.name}' is not computed in the main graph"
        return ""

    def substitute(self, old: Tensor, new: Tensor) -> None:
        """Let all who read `old` read `new`.

        Where the model returns `old`, the producer of `new` writes `old` instead: its name
        belongs to the model's callers. Ask `obstacle` first.
        """
        for node in old.outputs:
            self.touch(node)
        self._lost_reader(old)
        if not self.is_held(old):
            replace_uses(old, new)
            return
        source = new.inputs[0]
        index = next(i for i, t in enumerate(source.outputs) if t is new)
        replace_uses(new, old)
        take_output(old, source, index)
        self._types.setdefault(old.name, self._types.get(new.name, (None, None)))
        self.touch(source)

    def set_type(self, tensor: Tensor, shape: Shape | None) -> None:
        """Say what a tensor's shape has become, after an edit that changed it."""
        self._types[tensor.name] = (self.dtype(tensor), shape)
        if isinstance(tensor, Variable):
            tensor.shape = shape

    def touch(self, node: Node) -> None:
        """Have rules look again at a node and its neighbours."""
        self._touched[id(node)] = node

    # For the driver.

    def settle(self) -> list[Node]:
        """Remove what nobody reads any more; the nodes that deserve another look, in order."""
        while self._orphans:
            node = self._orphans.pop()
            if id(node) in self._main and not any(self._is_read(t) for t in node.outputs):
                self._remove(node)
        again: dict[int, Node] = {}
        for node in self._touched.values():
            near = [p for t in node.inputs for p in t.inputs]
            near += [node, *(r for t in node.outputs for r in t.outputs)]
            again.update((id(n), n) for n in near if id(n) in self._main)
        self._touched.clear()
        return list(again.values())

    def finish(self) -> None:
        """Write the nodes added and removed into the model; sort it afterwards."""
        gone = self._removed
        if gone or self._added:
            kept = [n for n in self.model.nodes if id(n) not in gone]
            self.model.graph.nodes = kept + [n for n in self._added if id(n) not in gone]

    def _is_read(self, tensor: Tensor) -> bool:
        return bool(tensor.outputs) or self.is_held(tensor)

    def _lost_reader(self, tensor: Tensor) -> None:
        self._orphans.extend(tensor.inputs)

    def _remove(self, node: Node) -> None:
        self._main.discard(id(node))
        self._ours.discard(id(node))
        self._removed[id(node)] = node
        self._touched.pop(id(node), None)
        for tensor in node.inputs:
            self._lost_reader(tensor)
            for source in tensor.inputs:
                self.touch(source)
        unlink([node])


def _returned(body: Graph) -> Iterable[Tensor]:
    yield from body.outputs
    for node in body.nodes:
        for inner in bodies(node):
            yield from _returned(inner)
