"""Targets, shown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType

from onnxq.report.tables import facts, table
from onnxq.targets import Rule, Sparsity, Storage, Target


def targets_table(targets: Sequence[Target]) -> RenderableType:
    """One line per target."""
    rows = [(t.name, t.summary, "yes" if t.measurable else "no") for t in targets]
    return table("Targets", ("name", "engine", "speed measurable here"), rows)


def target_rules(target: Target) -> list[RenderableType]:
    """All that a target file says."""
    pairs = (
        ("engine", target.summary),
        ("operator set", f"at least {target.minimum_opset}"),
        ("activations", _storage(target.activations)),
        ("weights", _storage(target.weights)),
        ("biases", target.bias),
        ("speed measurable here", "yes" if target.measurable else "no"),
        ("sparse weights", _sparsity(target.sparsity)),
    )
    parts: list[RenderableType] = [
        facts(target.name, pairs),
        table(
            "Accelerated operators",
            ("operator", "role", "rule"),
            [(op, rule.role, _details(rule)) for op, rule in target.operators.items()],
        ),
    ]
    if target.never:
        parts.append(table("Stays float", ("operator", "why"), list(target.never.items())))
    return parts


def _sparsity(sparsity: Sparsity) -> str:
    if not sparsity.patterns:
        return sparsity.note
    return f"{', '.join(sparsity.patterns)} in {', '.join(sparsity.operators)}; {sparsity.note}"


def _storage(storage: Storage) -> str:
    sign = "signed" if storage.signed else "unsigned"
    kind = "symmetric" if storage.symmetric else "with zero point"
    extras = [
        text
        for applies, text in (
            (storage.narrow_range, "narrow range"),
            (storage.power_of_two, "scales are powers of two"),
        )
        if applies
    ]
    return ", ".join((f"{storage.bits} bits {sign}", kind, f"per {storage.granularity}", *extras))


def _details(rule: Rule) -> str:
    """What the rule says besides its role, key by key."""
    given = rule.model_dump(exclude_defaults=True, exclude={"role", "defaults"})
    return "; ".join(f"{key} {_plain(value)}" for key, value in given.items())


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
