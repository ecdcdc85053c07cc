"""How layers learn where rules of fine-tuning say so: they are resolved here and only here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from onnxq.config import ActivationLearning, LearningRule, WeightLearning
from onnxq.errors import ConfigError
from onnxq.graph import Model
from onnxq.plan.decisions import Absorbed, Integer, Plan
from onnxq.plan.settings import matching_nodes

Aspect: TypeAlias = Literal["weights", "activations", "update_masks"]


@dataclass(frozen=True)
class Learning:
    """What rules say of the nodes and the inputs of a model.

    Attributes:
        rules: The rules; later ones count more.
        matched: Numbers of the rules that are about a node or an input, by its name.
    """

    rules: Sequence[LearningRule]
    matched: Mapping[str, Sequence[int]]

    def deciding(self, names: Iterable[str], aspect: Aspect) -> int | None:
        """Number of the last rule that says something of any of these nodes or inputs."""
        numbers = {n for name in names for n in self.matched.get(name, ())}
        return max((n for n in numbers if getattr(self.rules[n], aspect) is not None), default=None)

    def weights(self, node: str, default: WeightLearning) -> WeightLearning:
        """How the weights of a node learn."""
        number = self.deciding([node], "weights")
        return default if number is None else self.rules[number].weights or default

    def activations(self, names: Iterable[str], default: ActivationLearning) -> ActivationLearning:
        """How a tensor learns that these nodes compute together."""
        number = self.deciding(names, "activations")
        return default if number is None else self.rules[number].activations or default

    def update_masks(self, node: str, default: int) -> int:
        """Steps after which the mask of a node is chosen anew."""
        number = self.deciding([node], "update_masks")
        found = default if number is None else self.rules[number].update_masks
        return default if found is None else found


def resolve_learning(model: Model, rules: Sequence[LearningRule]) -> Learning:
    """Look up what rules are about.

    A selector matches a node by its name, its type, or the name of a tensor it writes, or an input
    of the model by its name.

    Raises:
        ConfigError: if a selector matches nothing.
    """
    matched: dict[str, list[int]] = {}
    for number, rule in enumerate(rules):
        names = [tensor.name for tensor in model.inputs if rule.match.matches(tensor.name, "")]
        try:
            where = f"finetune.rules[{number}].match"
            names += [node.name for node in matching_nodes(rule.match, model.nodes, where)]
        except ConfigError:
            if not names:
                raise
        for name in names:
            matched.setdefault(name, []).append(number)
    return Learning(rules, matched)


def computing_nodes(model: Model, plan: Plan) -> dict[str, tuple[str, ...]]:
    """By tensor that is rounded, the nodes that compute it together; an input names itself."""
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in plan.activations}
    for node in model.nodes:
        decision = plan.nodes.get(node.name)
        head = decision.into if isinstance(decision, Absorbed) else node.name
        group = plan.nodes.get(head)
        names = (head, *(group.group if isinstance(group, Integer) else ()))
        found.update((t.name, names) for t in node.outputs if t.name in found)
    return found
