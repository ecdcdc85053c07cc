"""What the weights of a plan multiply: which tensor, and how it meets the weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from onnxq.calibration import Moments, Rows, Vectors, patches_of
from onnxq.engine import Feed, open_session, runner
from onnxq.errors import DataError
from onnxq.graph import Model, Node, Variable, copy_model
from onnxq.passes import stored_constant
from onnxq.plan import Plan, Use, Weight
from onnxq.quant import Products

_WEIGHT = 1
_DATA = 0


@dataclass(frozen=True)
class Layer:
    """A weight that can be rounded with a view to its inputs.

    Attributes:
        use: Where the plan has it.
        input: The float tensor that it multiplies.
        rows: How vectors are taken from that tensor.
        products: How the weight meets them.
        moment_bytes: Memory of one second moment.
    """

    use: Use
    input: str
    rows: Rows
    products: Products
    moment_bytes: int

    @property
    def key(self) -> tuple[str, Rows]:
        """Equal for layers that share their inputs."""
        return self.input, self.rows


def layers_of(model: Model, plan: Plan) -> list[Layer]:
    """The weights of matrix products and convolutions, in topological order.

    Left out are weights whose scales do not follow their sums, and constants that layers with
    different inputs share.
    """
    nodes = {node.name: node for node in model.nodes}
    found = [
        layer
        for node in model.nodes
        if isinstance(operand := plan.operands.get(Use(node.name, _WEIGHT)), Weight)
        and (layer := _layer(node, nodes, operand)) is not None
    ]
    readers: dict[int, set[tuple[str, Rows]]] = {}
    for layer in found:
        readers.setdefault(id(stored_constant(nodes, layer.use)), set()).add(layer.key)
    return [x for x in found if len(readers[id(stored_constant(nodes, x.use))]) == 1]


def _layer(node: Node, nodes: Mapping[str, Node], operand: Weight) -> Layer | None:
    use, data = Use(node.name, _WEIGHT), node.inputs[_DATA]
    shape = tuple(stored_constant(nodes, use).stored.shape)
    meeting = _meeting(node, shape)
    if meeting is None or not isinstance(data, Variable):
        return None
    rows, products = meeting
    if products.objection(operand.scheme, len(shape)):
        return None
    terms = prod(shape[1:]) if products.sums_first else shape[0]
    return Layer(use, data.name, rows, products, 8 * products.groups * terms * terms)


def _meeting(node: Node, shape: tuple[int, ...]) -> tuple[Rows, Products] | None:
    """How vectors are taken from the data, and how the weight meets them; None if not known."""
    if node.op == "MatMul" and len(shape) == 2:
        return Vectors(), Products()
    if node.op == "Gemm" and not node.attrs.get("transA", 0):
        return Vectors(), Products(sums_first=bool(node.attrs.get("transB", 0)))
    if node.op != "Conv":
        return None
    patches = patches_of(node, shape)
    return patches, Products(sums_first=True, groups=patches.groups)


def collect_moments(
    layers: Sequence[Layer], model: Model, feeds: Iterable[Feed], *, most: int
) -> dict[tuple[str, Rows], Moments]:
    """Moments of what the layers read, over samples; one for all layers with equal inputs.

    Memory: those moments, and of one sample the tensors that the layers read.

    Args:
        layers: Some layers.
        model: The model to run: the float model, or one with nodes of the same names.
        feeds: The samples.
        most: Vectors per sample and layer; where there are more, an even selection.

    Raises:
        DataError: There is no sample.
    """
    keys = list(dict.fromkeys(layer.key for layer in layers))
    run = _Inputs(model, layers)
    found: dict[tuple[str, Rows], Moments] = {}
    for feed in feeds:
        seen = run(feed)
        for key in keys:
            name, rows = key
            moments = Moments.of(rows.rows(seen[name], most))
            found[key] = found[key].merge(moments) if key in found else moments
    if keys and not found:
        raise DataError(
            "no samples to round weights with", remedy="give samples, or round without any"
        )
    return found


class _Inputs:
    """Runs a model up to the tensors that some layers read; returns them by their float names."""

    def __init__(self, model: Model, layers: Sequence[Layer]) -> None:
        part = copy_model(model)
        nodes = {node.name: node for node in part.nodes}
        wanted = {layer.input: nodes[layer.use.node].inputs[_DATA] for layer in layers}
        part.graph.outputs = list({id(t): t for t in wanted.values()}.values())
        self._names = {name: tensor.name for name, tensor in wanted.items()}
        self._run = runner(open_session(part))

    def __call__(self, feed: Feed) -> Feed:
        outputs = self._run(feed)
        return {name: outputs[inner] for name, inner in self._names.items()}
