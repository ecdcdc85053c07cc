"""A rule: one algebraic identity, and the edit it allows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from onnxq.graph import Model, Node
from onnxq.passes import Event
from onnxq.rules.workspace import Workspace


class Rule(ABC):
    """One identity, tried at every node of the operators it starts from.

    A concrete rule is a frozen dataclass whose fields are its settings. It is a pass too:
    `apply` repeats it until nothing more follows.

    Attributes:
        operators: Operators (of ONNX itself) at whose nodes the rule is tried.
        exact: Rules never change what a model computes.
    """

    operators: ClassVar[frozenset[str]]
    exact: ClassVar[bool] = True

    @abstractmethod
    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Try the rule at one node, which is alive and of one of `operators`.

        Returns:
            None where the pattern is not there at all; `Refused` with the reason where it is
            nearly there, before anything was edited; `Applied` after the edit. Every
            application must make the graph smaller in some measure, so that rules end.
        """

    def apply(self, model: Model) -> Iterator[Event]:
        """Apply this rule alone, as often as it goes."""
        # Not at the head of the module: the driver knows rules by this class.
        from onnxq.rules.fixpoint import rewrite_all

        yield from rewrite_all(model, (self,))
