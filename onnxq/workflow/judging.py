"""How good a quantization is, on a few samples: for choosing between recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from onnxq.engine import Feed, open_session, runner
from onnxq.errors import ModelError
from onnxq.graph import Model
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

    def compare(self, quantized: Model) -> Mapping[str, Fidelity]:
        """The differences of every output.

        Raises:
            ModelError: if the model does not run.
        """
        run_once = runner(open_session(quantized))
        expected = iter(self._expected())
        return compare_outputs(lambda _: next(expected), run_once, self.probes)

    def sqnr(self, quantized: Model) -> float | None:
        """Mean SQNR of the float outputs in dB; None if the model does not run."""
        try:
            return mean_sqnr(self.compare(quantized))
        except ModelError:
            return None

    def _expected(self) -> list[Mapping[str, NDArray[Any]]]:
        if self._known is None:
            run_once = runner(open_session(self._model))
            self._known = [run_once(feed) for feed in self.probes]
        return self._known
