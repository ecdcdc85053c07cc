"""A model that is checked, or the baseline: facts about it, each found when it is asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx
import onnxruntime as ort

from onnxq.engine import (
    InputSpec,
    Optimization,
    Run,
    input_specs,
    open_session,
    runner,
)
from onnxq.errors import ModelError
from onnxq.graph import Model, load
from onnxq.measure import (
    Cost,
    FileSize,
    GroupState,
    RunsInInteger,
    StaysFloat,
    Summary,
    Vanished,
    count_bit_operations,
    count_macs,
    file_size,
    fused_groups,
    planned_tensors,
    read_optimized,
    summarize,
)


@dataclass(frozen=True, eq=False)
class Subject:
    """One model file.

    Attributes:
        path: The file.
        dimensions: Sizes of free dimensions by name, for counting; 1 for others.
    """

    path: Path
    dimensions: Mapping[str, int]

    @cached_property
    def model(self) -> Model:
        """The model with a name on every node.

        Raises:
            ModelError: if the file cannot be read or is invalid.
        """
        model = load(self.path)
        model.keep_node_names()
        return model

    @cached_property
    def proto(self) -> onnx.ModelProto:
        """The same as a proto, weights inside."""
        return self.model.to_proto()

    @cached_property
    def summary(self) -> Summary:
        """What it is made of."""
        return summarize(self.path, self.dimensions)

    @cached_property
    def size(self) -> FileSize:
        """Bytes on disk."""
        return file_size(self.path)

    @cached_property
    def cost(self) -> Cost:
        """Multiply-accumulates, by nodes that have names."""
        return count_macs(self.proto, self.dimensions)

    @cached_property
    def bit_operations(self) -> int:
        """Multiply-accumulates, each times the bits of both factors."""
        return count_bit_operations(self.proto, self.cost)

    @cached_property
    def session(self) -> ort.InferenceSession:
        """The engine's session.

        Raises:
            ModelError: if the engine refuses the model.
        """
        return open_session(self.path)

    @cached_property
    def refusal(self) -> str:
        """Why the engine does not load the model; empty if it does."""
        try:
            _ = self.session
        except ModelError as error:
            return error.why or error.what
        return ""

    @cached_property
    def run(self) -> Run:
        """Runs it once."""
        return runner(self.session)

    @cached_property
    def inputs(self) -> list[InputSpec]:
        """What must be fed."""
        return input_specs(self.session)

    @cached_property
    def placement(self) -> Mapping[str, GroupState]:
        """For each node that multiplies, whether the engine runs it in integers."""
        with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
            path = Path(folder) / "optimized.onnx"
            open_session(self.model, optimized_path=path, optimization=Optimization.EXTENDED)
            coverage = read_optimized(path)
        names = [node.node for node in self.cost.nodes]
        found = fused_groups(planned_tensors(self.proto, names), coverage)
        return {name: found.get(name, Vanished("it lies in a body")) for name in names}

    @cached_property
    def integer_share(self) -> float:
        """Share of the multiply-accumulates that the engine runs in integers; 0.0 if none."""
        states = self.placement
        integer = sum(
            node.macs
            for node in self.cost.nodes
            if _runs_in_integers(states[node.node], stored=node.integer)
        )
        return integer / self.cost.macs if self.cost.macs else 0.0

    @property
    def floating(self) -> dict[str, str]:
        """Nodes that multiply in float, most work first, with the reason."""
        states = self.placement
        nodes = sorted(self.cost.nodes, key=lambda node: -node.macs)
        return {
            node.node: _why(states[node.node])
            for node in nodes
            if node.macs and not _runs_in_integers(states[node.node], stored=node.integer)
        }


def _runs_in_integers(state: GroupState, *, stored: bool) -> bool:
    """Of a node that cannot be traced, how its weights are stored tells."""
    return isinstance(state, RunsInInteger) or (isinstance(state, Vanished) and stored)


def _why(state: GroupState) -> str:
    return state.reason if isinstance(state, StaysFloat | Vanished) else ""
