"""How good a quantization is, on a few samples: for choosing between recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from onnxq.engine import Feed, open_session, runner
from onnxq.errors import ModelError
from onnxq.graph import Constant, Model, Tensor, copy_model, producer
from onnxq.measure import Fidelity, compare_outputs, mean_sqnr


class Judge:
    """Compares models with the float model on the probes.

    Attributes:
        probes: The samples.
    """

    def __init__(self, model: Model, probes: Sequence[Feed]) -> None:
        self.probes = probes
        self._model = model
        self._known: list[Mapping[str, NDArray[Any]]] | None = None
        self._before: list[Mapping[str, NDArray[Any]]] | None = None

    def compare(self, quantized: Model) -> Mapping[str, Fidelity]:
        """The differences of every output.

        Raises:
            ModelError: if the model does not run.
        """
        run_once = runner(open_session(quantized))
        expected = iter(self._expected())
        return compare_outputs(lambda _: next(expected), run_once, self.probes)

    def sqnr(self, quantized: Model) -> float | None:
        """Mean SQNR of the float outputs in dB; None if the model does not run.

        Before a Softmax that ends the model, as probabilities leap where the argmax changes.
        """
        try:
            if self._before is None:
                self._before = _outputs_before_softmax(self._model, self.probes)
            expected = iter(self._before)
            found = iter(_outputs_before_softmax(quantized, self.probes))
        except ModelError:
            return None
        return mean_sqnr(
            compare_outputs(lambda _: next(expected), lambda _: next(found), self.probes)
        )

    def _expected(self) -> list[Mapping[str, NDArray[Any]]]:
        if self._known is None:
            run_once = runner(open_session(self._model))
            self._known = [run_once(feed) for feed in self.probes]
        return self._known


def _outputs_before_softmax(
    model: Model, probes: Sequence[Feed]
) -> list[Mapping[str, NDArray[Any]]]:
    """What a model returns for each probe, by the names of its outputs."""
    places = {tensor.name: before_softmax(tensor).name for tensor in model.outputs}
    twin = copy_model(model)
    variables = twin.variables
    known = {tensor.name: tensor for tensor in twin.outputs}
    twin.graph.outputs = list({n: known.get(n) or variables[n] for n in places.values()}.values())
    run_once = runner(open_session(twin))
    found: list[Mapping[str, NDArray[Any]]] = []
    for feed in probes:
        values = run_once(feed)
        found.append({name: values[place] for name, place in places.items()})
    return found


def before_softmax(output: Tensor) -> Tensor:
    """What a Softmax reads that writes an output; another output as it is."""
    writer = producer(output)
    is_softmax = writer is not None and writer.op in ("Softmax", "LogSoftmax")
    before = writer.inputs[0] if writer is not None and is_softmax else output
    return output if isinstance(before, Constant) else before
