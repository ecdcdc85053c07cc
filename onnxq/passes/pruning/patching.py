"""Single numbers inside shapes that a graph computes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onnxq.graph import Constant, Model, Node, Tensor, Variable, constant, read, set_input

_PASSING = frozenset(["Cast", "Identity"])


def patch(model: Model, node: Node, index: int, numbers: Mapping[int, int], size: int) -> None:
    """Let input `index` of a node hold other numbers at some positions.

    A constant is replaced; of a Concat of pieces that nobody else reads, the pieces are. What
    is computed otherwise is selected from: Where(mask, numbers, computed).

    Args:
        model: The model.
        node: The reader.
        index: Which of its inputs.
        numbers: The new number by position.
        size: Length of the input.
    """
    if not numbers:
        return
    tensor = node.inputs[index]
    if isinstance(tensor, Constant):
        value = read(tensor).copy()
        for position, number in numbers.items():
            value.reshape(-1)[position] = number
        set_input(node, index, constant(model.new_name(f"{tensor.name}_pruned"), value))
        return
    if not _patch_pieces(model, tensor, numbers):
        _select(model, node, index, numbers, size)


def _patch_pieces(model: Model, tensor: Variable, numbers: Mapping[int, int]) -> bool:
    """Change the constants among the pieces that a shape is put together of, if they suffice."""
    source = _own_concat(tensor)
    pieces = None if source is None else _positions(source)
    if source is None or pieces is None or not set(numbers) <= set(pieces):
        return False
    for place, wanted in numbers.items():
        number, offset = pieces[place]
        piece = source.inputs[number]
        assert isinstance(piece, Constant)
        value = read(piece).copy()
        value.reshape(-1)[offset] = wanted
        set_input(source, number, constant(model.new_name(f"{piece.name}_pruned"), value))
    return True


def _own_concat(tensor: Tensor) -> Node | None:
    """The Concat that computes a tensor for one reader alone, behind Cast and Identity."""
    while isinstance(tensor, Variable) and len(tensor.outputs) == 1 and tensor.inputs:
        source = tensor.inputs[0]
        if source.op not in _PASSING:
            return source if source.op == "Concat" else None
        tensor = source.inputs[0]
    return None


def _positions(concat: Node) -> dict[int, tuple[int, int]] | None:
    """Which input, and which element of it, stands where; None if lengths are not known."""
    pieces: dict[int, tuple[int, int]] = {}
    position = 0
    for number, piece in enumerate(concat.inputs):
        if not isinstance(piece, Constant):
            if not _is_single(piece):
                return None
            position += 1
            continue
        for offset in range(piece.size):
            pieces[position] = number, offset
            position += 1
    return pieces


def _is_single(tensor: Variable) -> bool:
    """Whether a piece is certainly one number."""
    return tensor.shape == (1,) or (bool(tensor.inputs) and tensor.inputs[0].op == "Unsqueeze")


def _select(model: Model, node: Node, index: int, numbers: Mapping[int, int], size: int) -> None:
    tensor = node.inputs[index]
    mask = np.zeros(size, np.bool_)
    value = np.zeros(size, np.int64)
    for position, number in numbers.items():
        mask[position], value[position] = True, number
    base = f"{node.name}_{index}"
    chosen = Variable(model.new_name(f"{base}_pruned"), np.dtype(np.int64), (size,))
    inputs = [
        constant(model.new_name(f"{base}_mask"), mask),
        constant(model.new_name(f"{base}_numbers"), value),
        tensor,
    ]
    model.nodes.append(Node("Where", model.new_name(f"{base}_Where"), inputs, [chosen]))
    set_input(node, index, chosen)
