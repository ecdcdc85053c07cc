"""What an engine accelerates, as data: one TOML file per engine, checked on loading."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

AttributeValue: TypeAlias = int | str

_PRODUCTS = ("MatMul", "Gemm")
"""What is spelled with MatMulInteger where its data is quantized at run time."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Storage(_Data):
    """The default number format of activations or weights."""

    bits: int = 8
    signed: bool
    symmetric: bool
    narrow_range: bool = False
    power_of_two: bool = False
    granularity: Literal["tensor", "channel"] = "tensor"


class _Rule(_Data):
    """What all roles share.

    Attributes:
        require: Attribute values the node must have; a list allows several. An attribute the
            node lacks counts as its ONNX default, given in `defaults`.
        defaults: ONNX's default of the attributes named in `require`.
        forbid: Attributes the node must not have, since the engine's integer form has them not.
    """

    require: dict[str, AttributeValue | list[AttributeValue]] = {}
    defaults: dict[str, AttributeValue] = {}
    forbid: list[str] = []


class Compute(_Rule):
    """Multiplies by a constant weight: the operator that integers make faster.

    Attributes:
        weight: Index of the weight input.
        bias: Index of the bias input, if the operator has one.
        bias_add: A following Add of a constant vector is the bias.
        granularity: Finest weight granularity the engine takes here; a finer wish becomes it.
            With weights in blocks the node reads float data and writes float data.
        output: Whether the output must be quantized for the operator to run in integers
            (`required`), may stay float (`optional`), or is never quantized by itself.
        dynamic: Whether it also runs in integers between float tensors, as a matrix product
            whose data is quantized with the range of each run; a text says why it does not.
    """

    role: Literal["compute"]
    weight: int = 1
    bias: int | None = None
    bias_add: bool = False
    granularity: Literal["tensor", "channel", "block"] = "channel"
    output: Literal["required", "optional", "never"]
    dynamic: bool | str = False


class Absorbed(_Rule):
    """Costs nothing after certain operators.

    Attributes:
        into: Those operators.
        range: Whether the codes of its output must end where it clips (`inside`), so that
            the engine can leave it out, or the engine computes it anyway (`any`).
    """

    role: Literal["absorbed"]
    into: list[str]
    range: Literal["inside", "any"] = "inside"


class Arithmetic(_Rule):
    """Has an integer form whose inputs and output each have a scale of their own.

    Attributes:
        inputs: Indices of the data inputs; None: all; `residual`: all but one that comes
            straight from a weighted operator, which the engine fuses.
        when: `chain`: only between integer neighbours, where it saves conversions; `always`.
        scales: `free`, or `tied` if all inputs and the output must share one scale.
        output: `required`, or `never` if the engine wants only the inputs quantized.
        free_scalar: With one positive constant for an operand it costs nothing: the scale of
            the DequantizeLinear takes the factor (Mul only).
    """

    role: Literal["arithmetic"]
    inputs: list[int] | Literal["residual"] | None = None
    when: Literal["chain", "always"] = "chain"
    scales: Literal["free", "tied"] = "free"
    output: Literal["required", "never"] = "required"
    free_scalar: bool = False


class SameScale(_Rule):
    """Moves or selects codes: runs on integers if input and output share their scale.

    Attributes:
        outputs: Which outputs carry codes: the first alone, or all (Split).
        when: As for `Arithmetic`.
    """

    role: Literal["same-scale"]
    outputs: Literal["first", "all"] = "first"
    when: Literal["chain", "always"] = "chain"


class Table(_Rule):
    """Looks rows up in a constant: the table is stored in integers, the rows dequantized."""

    role: Literal["table"]
    input: int = 0


Rule: TypeAlias = Annotated[
    Compute | Absorbed | Arithmetic | SameScale | Table, Field(discriminator="role")
]


class Processor(_Data):
    """What an x86 processor must have for the target's formats to be safe on it.

    Attributes:
        any_of: Flags of which it must have one.
        otherwise: The target for processors that have none.
    """

    any_of: list[str]
    otherwise: str


class Sparsity(_Data):
    """Which N:M patterns the engine makes something of, and where.

    Attributes:
        patterns: Those it has kernels for, such as `2:4`; none: zeros gain nothing.
        operators: Operators it has them for.
        types: Element types of weights that they take.
        input_multiple: Input channels of a sum must be a multiple of this.
        output_multiple: Likewise output channels.
        grouped: Whether convolutions in groups are taken too.
        note: What else users should know.
    """

    patterns: list[str] = []
    operators: list[str] = []
    types: list[str] = []
    input_multiple: int = 1
    output_multiple: int = 1
    grouped: bool = False
    note: str = ""


class Channels(_Data):
    """How many channels pruned layers should keep.

    Attributes:
        multiple: A multiple of this.
        operators: The same for layers of some operators.
    """

    multiple: int = Field(default=4, ge=1)
    operators: dict[str, Annotated[int, Field(ge=1)]] = {}


class Target(_Data):
    """One engine on one kind of hardware.

    Attributes:
        name: What users write.
        summary: One line about it.
        minimum_opset: The lowest operator set its Q/DQ models need.
        activations: Default format of activations.
        weights: Default format of weights.
        bias: How biases are stored: `int32` with scale input × weight, or `float`.
        measurable: Whether the ONNX Runtime installed here is this engine.
        processor: What an x86 processor must have, if there is such a condition.
        quantizes_weights: Operators whose float weights the engine itself quantizes between a DQ
            and a Q, more coarsely than here, unless their bias comes out of a DQ.
        wide_activations: Whether the engine also takes activations of 16 bits beside weights of 8.
        spelled: Activations that run in integers once spelled with Add, Clip and Mul.
        operators: The rule of each accelerated operator; the others stay float.
        never: Why an operator stays float, where there is more to say than that.
        channels: How many channels pruned layers should keep.
        sparsity: What the engine gains from weights with zeros in a pattern.
    """

    name: str
    summary: str
    minimum_opset: int = 13
    activations: Storage
    weights: Storage
    bias: Literal["int32", "float"]
    measurable: bool = False
    processor: Processor | None = None
    quantizes_weights: list[str] = []
    wide_activations: bool = False
    spelled: list[Literal["HardSwish", "HardSigmoid"]] = []
    operators: dict[str, Rule]
    never: dict[str, str] = {}
    channels: Channels = Channels()
    sparsity: Sparsity = Sparsity(note="nothing is known of gains from zeros in weights")

    @field_validator("operators")
    @classmethod
    def _dynamic_products(cls, operators: dict[str, Rule]) -> dict[str, Rule]:
        for name, rule in operators.items():
            if isinstance(rule, Compute) and rule.dynamic is True and name not in _PRODUCTS:
                raise ValueError(f"{name}.dynamic: only {' and '.join(_PRODUCTS)} can be")
        return operators

    def channel_multiple(self, operators: Iterable[str]) -> int:
        """What the number of channels that layers of these operators compute should divide by."""
        known = (self.channels.operators.get(op, self.channels.multiple) for op in operators)
        return max(known, default=self.channels.multiple)
