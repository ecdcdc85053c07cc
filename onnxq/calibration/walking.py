"""Run a model over all samples at once, a piece at a time.

Algorithms that change a model layer by layer need what each layer reads once the layers before
it are changed. Running the whole model for every layer would cost the square of its depth; here
every node runs once per sample, and what later nodes read waits in memory.

A DequantizeLinear runs again in every piece that needs it, so that codes wait, not floats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from onnx import helper

from onnxq.engine import Feed, Run, open_session, runner
from onnxq.graph import Model, Node, Tensor, Variable, extract, reads

_AGAIN = frozenset({"DequantizeLinear"})

Array = NDArray[Any]


class Walk:
    """A walk through a model with some samples.

    Tensors must be asked for in an order in which they can be computed. Constants of nodes that
    no tensor asked for so far depends on may be replaced on the way; nothing else.
    """

    def __init__(self, model: Model, feeds: Sequence[Feed]) -> None:
        self._model = model
        self._place = {id(node): place for place, node in enumerate(model.nodes)}
        self._producer = {id(t): node for node in model.nodes for t in node.outputs}
        self._readers: dict[int, list[Node]] = {}
        for node in model.nodes:
            for tensor in reads(node):
                self._readers.setdefault(id(tensor), []).append(node)
        self._done: set[int] = set()
        self._waiting: dict[int, Variable] = {id(t): t for t in model.inputs}
        self._values: list[dict[int, Array]] = [
            {id(t): feed[t.name] for t in model.inputs if t.name in feed} for feed in feeds
        ]

    @property
    def samples(self) -> int:
        """How many samples are on their way."""
        return len(self._values)

    @property
    def bytes_per_sample(self) -> int:
        """Memory that the first sample takes now."""
        return sum(value.nbytes for value in self._values[0].values()) if self._values else 0

    def keep(self, samples: int) -> None:
        """Go on with the first so many samples alone."""
        del self._values[samples:]

    def fetch(self, wanted: Sequence[Variable]) -> Iterator[list[Array]]:
        """Walk on to some tensors; their values, sample by sample.

        The iterator must be used up before anything else is asked for.

        Raises:
            ModelError: if the engine does not run the piece of the model.
        """
        piece = self._missing(wanted)
        ends = self._ends(piece)
        run = self._opened(piece, [*ends, *wanted])
        self._done.update(id(node) for node in piece if node.op not in _AGAIN)
        before = self._waiting
        after = {i: t for i, t in before.items() if self._awaited(t)}
        after.update((id(t), t) for t in ends)
        self._waiting = after
        for values in self._values:
            found = run({t.name: values[i] for i, t in before.items() if i in values})
            result = [values[id(t)] if id(t) in before else found[t.name] for t in wanted]
            values.update((id(t), found[t.name]) for t in ends)
            for i in [i for i in values if i not in after]:
                del values[i]
            yield result

    def peek(self, wanted: Variable) -> Iterator[Array]:
        """The values of a tensor further on, without going there.

        Raises:
            ModelError: if the engine does not run the piece of the model.
        """
        run = self._opened(self._missing([wanted]), [wanted])
        for values in self._values:
            given = {t.name: values[i] for i, t in self._waiting.items() if i in values}
            yield given[wanted.name] if wanted.name in given else run(given)[wanted.name]

    def _missing(self, wanted: Sequence[Variable]) -> list[Node]:
        """The nodes that compute the tensors from those that wait, in order."""
        found: dict[int, Node] = {}
        pending: list[Tensor] = list(wanted)
        while pending:
            tensor = pending.pop()
            node = self._producer.get(id(tensor))
            if id(tensor) in self._waiting or node is None or id(node) in found:
                continue
            found[id(node)] = node
            pending.extend(reads(node))
        return sorted(found.values(), key=lambda node: self._place[id(node)])

    def _ends(self, piece: Sequence[Node]) -> list[Variable]:
        """What the piece computes and nodes behind it read."""
        inside = {id(node) for node in piece}
        return [
            t
            for node in piece
            if node.op not in _AGAIN
            for t in node.outputs
            if isinstance(t, Variable) and t.name and self._awaited(t, inside)
        ]

    def _awaited(self, tensor: Tensor, inside: set[int] | frozenset[int] = frozenset()) -> bool:
        for node in self._readers.get(id(tensor), ()):
            if node.op in _AGAIN:
                if any(self._awaited(t, inside) for t in node.outputs):
                    return True
            elif id(node) not in self._done and id(node) not in inside:
                return True
        return False

    def _opened(self, piece: list[Node], wanted: Sequence[Variable]) -> Run:
        inside = {id(t) for node in piece for t in node.outputs}
        outputs = list({id(t): t for t in wanted if id(t) in inside}.values())
        if not outputs:
            return _nothing
        proto = extract(self._model, piece, outputs)
        needed = {id(t): t for node in piece for t in reads(node) if id(t) not in inside}
        example = self._values[0]
        for i, tensor in needed.items():
            if i in example:
                kind = helper.np_dtype_to_tensor_dtype(example[i].dtype)
                shape = [None] * example[i].ndim
                proto.graph.input.append(helper.make_tensor_value_info(tensor.name, kind, shape))
        return runner(open_session(proto), [t.name for t in outputs])


def _nothing(_: Feed) -> Mapping[str, Array]:
    return {}
