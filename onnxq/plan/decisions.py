"""The plan: for every node and tensor what becomes of it, and why. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from onnxq.errors import DataError, UsageError
from onnxq.quant import Scheme

VERSION = 1

WEIGHTS_ONLY = "weights-only"
DYNAMIC = "dynamic"


@dataclass(frozen=True)
class Use:
    """One reading of a tensor: input `index` of `node`."""

    node: str
    index: int


@dataclass(frozen=True)
class Integer:
    """The node runs in integers.

    Attributes:
        role: Its role in the target file, or one of two roles of nodes that read and write float
            data: `weights-only` where only its weight is stored in integers, `dynamic` where it
            quantizes its data with the range of each run.
        output: The tensor in which its group ends.
        group: Nodes after it that the engine absorbs into it (bias Add, Relu, Clip).
    """

    role: str
    output: str
    group: tuple[str, ...] = ()

    @property
    def reads_codes(self) -> bool:
        """Whether it reads tensors that pass through Q and DQ."""
        return self.role not in (WEIGHTS_ONLY, DYNAMIC)


@dataclass(frozen=True)
class Absorbed:
    """The node disappears into `into`."""

    into: str


@dataclass(frozen=True)
class Float:
    """The node stays float."""

    reason: str


NodeDecision: TypeAlias = Integer | Absorbed | Float


@dataclass(frozen=True)
class Activation:
    """A computed tensor that passes through Q and DQ.

    Attributes:
        scheme: Its number format.
        low: Lower end beyond which the range must not reach (Relu, Clip), if any.
        high: Upper end likewise.
        given: Ends that the user named, in place of those that calibration finds.
        tie: Tensors with the same tie share one range and scale.
        gain: The DQ's scale is this many times the Q's: it takes the place of a Mul by the
            constant, of which this tensor is the result.
        everyone: All readers take the dequantized tensor; else only those that run in integers
            (the tensor exists in float anyway, so others lose nothing).
    """

    scheme: Scheme
    low: float | None = None
    high: float | None = None
    tie: str | None = None
    everyone: bool = True
    gain: float = 1.0
    given: tuple[float | None, float | None] | None = None


@dataclass(frozen=True)
class Weight:
    """A constant stored in integers, with ranges from its own values."""

    tensor: str
    scheme: Scheme


@dataclass(frozen=True)
class Bias:
    """A constant stored as int32 with scale input × weight."""

    tensor: str
    input: str
    weight: Use


@dataclass(frozen=True)
class Rows:
    """A table stored in integers: its rows are dequantized after the look-up.

    The scheme's granularity belongs to the table; `output` is what the look-up yields.
    """

    tensor: str
    scheme: Scheme
    output: str


@dataclass(frozen=True)
class Shield:
    """A float node's bias, stored as int32 without loss, so that the engine leaves the node float.

    Attributes:
        tensor: The bias; empty if the node has none, which then gets one of zeros.
        channels: Its length.
    """

    tensor: str
    channels: int


Operand: TypeAlias = Weight | Bias | Rows | Shield


@dataclass(frozen=True)
class Plan:
    """What becomes of a model. Made by `make_plan`, carried out by the Q/DQ passes.

    Attributes:
        target: The engine it is made for.
        model: Digest of the model it belongs to.
        opset: The operator set the result needs at least.
        nodes: A decision for every node of the main graph, in its order.
        activations: The tensors that pass through Q and DQ.
        operands: The constants that are stored in integers, by the use that asks for it.
    """

    target: str
    model: str
    opset: int
    nodes: Mapping[str, NodeDecision] = field(default_factory=dict)
    activations: Mapping[str, Activation] = field(default_factory=dict)
    operands: Mapping[Use, Operand] = field(default_factory=dict)

    @property
    def integer_nodes(self) -> dict[str, Integer]:
        """The nodes that run in integers."""
        return {n: d for n, d in self.nodes.items() if isinstance(d, Integer)}

    @property
    def found_at_run_time(self) -> tuple[Use, ...]:
        """The readings that are quantized with the range of each run."""
        return tuple(Use(n, 0) for n, d in self.integer_nodes.items() if d.role == DYNAMIC)

    @property
    def quantizations(self) -> tuple[str | Use, ...]:
        """All that is rounded: activations by name, weights, tables and dynamic data by use."""
        stored = (use for use, o in self.operands.items() if isinstance(o, Weight | Rows))
        return (*self.activations, *stored, *self.found_at_run_time)

    @property
    def ties(self) -> dict[str, list[str]]:
        """The tensors of each shared scale."""
        ties: dict[str, list[str]] = {}
        for name, activation in self.activations.items():
            if activation.tie is not None:
                ties.setdefault(activation.tie, []).append(name)
        return ties

    def to_dict(self) -> dict[str, object]:
        """The plan as JSON values."""
        return {
            "version": VERSION,
            "target": self.target,
            "model": self.model,
            "opset": self.opset,
            "nodes": {n: {"decision": _KIND[type(d)], **asdict(d)} for n, d in self.nodes.items()},
            "activations": {
                n: {**asdict(a), "scheme": a.scheme.to_dict()} for n, a in self.activations.items()
            },
            "operands": [
                {"node": u.node, "index": u.index, "kind": _KIND[type(o)], **_operand_dict(o)}
                for u, o in self.operands.items()
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Plan:
        """Read a plan from JSON values.

        Raises:
            DataError: if it is not a plan of this version.
        """
        try:
            return _plan_from(data)
        except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
            raise DataError(
                "is not a plan of this version of onnxq",
                why=f"{type(error).__name__}: {error}",
                remedy="make the plan again",
            ) from error


_Kind = Literal["integer", "absorbed", "float", "weight", "bias", "rows", "shield"]
_KIND: dict[type, _Kind] = {
    Integer: "integer",
    Absorbed: "absorbed",
    Float: "float",
    Weight: "weight",
    Bias: "bias",
    Rows: "rows",
    Shield: "shield",
}
_TYPE = {kind: type_ for type_, kind in _KIND.items()}


def _operand_dict(operand: Operand) -> dict[str, object]:
    if isinstance(operand, Bias | Shield):
        return asdict(operand)
    return {**asdict(operand), "scheme": operand.scheme.to_dict()}


def _plan_from(data: Mapping[str, object]) -> Plan:
    nodes, activations, operands = data["nodes"], data["activations"], data["operands"]
    if data["version"] != VERSION or not isinstance(nodes, dict):
        raise KeyError(f"version {data['version']}")
    if not isinstance(activations, dict) or not isinstance(operands, list):
        raise TypeError("activations or operands are of the wrong type")
    return Plan(
        target=str(data["target"]),
        model=str(data["model"]),
        opset=int(str(data["opset"])),
        nodes={n: _node_from(dict(d)) for n, d in nodes.items()},
        activations={
            n: Activation(**{**a, "scheme": Scheme.from_dict(a["scheme"]), "given": _given(a)})
            for n, a in activations.items()
        },
        operands=dict(_operand_from(dict(o)) for o in operands),
    )


def _given(data: Mapping[str, Any]) -> tuple[float | None, float | None] | None:
    """The ends that the user named; JSON has no tuples, and older plans have no such ends."""
    found = data.get("given")
    return None if found is None else (found[0], found[1])


def _node_from(data: dict[str, object]) -> NodeDecision:
    kind = _TYPE[data.pop("decision")]  # type: ignore[index]
    if "group" in data:
        data["group"] = tuple(data["group"])  # type: ignore[arg-type]
    decision: NodeDecision = kind(**data)
    return decision


def _operand_from(data: dict[str, object]) -> tuple[Use, Operand]:
    use = Use(str(data.pop("node")), int(str(data.pop("index"))))
    kind = _TYPE[data.pop("kind")]  # type: ignore[index]
    if "scheme" in data:
        data["scheme"] = Scheme.from_dict(data["scheme"])  # type: ignore[arg-type]
    if "weight" in data:
        data["weight"] = Use(**data["weight"])  # type: ignore[arg-type]
    operand: Operand = kind(**data)
    return use, operand
