"""The gates of `onnxq check`: every key, its default and its meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from onnxq.config.base import Block
from onnxq.config.inputs import Evaluate
from onnxq.config.paths import data_inside, labels_inside, target_inside
from onnxq.config.selectors import Selector

Severity: TypeAlias = Literal["error", "warning"]
Share = Annotated[float, Field(ge=0, le=1)]
Growth = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class GateBlock(Block):
    """What all gates share."""

    severity: Severity = "error"
    """Whether a miss fails the check (`error`) or is only told (`warning`)."""


class ValidityGate(GateBlock):
    """The file is valid ONNX, loads in the engine, and keeps to the versions allowed."""

    min_opset: int | None = Field(default=None, ge=1)
    """Lowest operator set allowed."""
    max_opset: int | None = Field(default=None, ge=1)
    """Highest operator set allowed, where the engine that runs the model is older."""
    max_ir: int | None = Field(default=None, ge=3)
    """Highest version of the file format allowed."""


class NumericsGate(GateBlock):
    """Outputs are finite, on samples and on inputs made to provoke, and close to the baseline's."""

    samples: int = Field(default=16, ge=1)
    """So many samples are run."""
    adversarial: bool = True
    """Run zeros, ones, large, tiny and extreme values too, and other batch sizes if free."""
    seconds: float = Field(default=300.0, gt=0)
    """No further input is begun after so long; what is left is undecided."""
    min_sqnr: float | None = None
    """Lowest signal-to-noise ratio against the baseline's outputs, in dB."""
    min_cosine: float | None = Field(default=None, ge=-1, le=1)
    """Lowest mean cosine with the baseline's outputs."""
    min_agreement: Share | None = None
    """Lowest share of decisions (argmax) that are the baseline's."""


class AccuracyGate(GateBlock):
    """The metric of `evaluate`, which needs labels."""

    minimum: float | None = None
    """Worst value allowed: the lowest, or of an error such as mse the highest."""
    max_drop: float | None = Field(default=None, ge=0)
    """Largest loss against the baseline, in the metric's own unit (0.005 = half a point)."""


class SizeGate(GateBlock):
    """Bytes of the file, external data included."""

    max_bytes: Count | None = None
    """Largest size."""
    max_growth: Growth | None = None
    """Largest growth against the baseline (0.05 = 5 %)."""


class ParametersGate(GateBlock):
    """Number of constants."""

    max_count: Count | None = None
    """Largest number."""
    max_growth: Growth | None = None
    """Largest growth against the baseline (0.05 = 5 %)."""


class WorkGate(GateBlock):
    """Multiply-accumulates of one run, and bit operations: each times the bits of both factors."""

    max_macs: Count | None = None
    """Most multiply-accumulates."""
    max_bit_operations: Count | None = None
    """Most bit operations."""
    max_growth: Growth | None = None
    """Largest growth of both against the baseline (0.05 = 5 %)."""


class LatencyGate(GateBlock):
    """Time of one run, measured in turns with the baseline on this machine."""

    max_slowdown: Growth = 0.1
    """Largest slowdown against the baseline (0.1 = 10 % slower)."""
    seconds: float = Field(default=30.0, gt=0)
    """Measuring stops after so long, decided or not; most verdicts take a few seconds."""


class MemoryGate(GateBlock):
    """Resident memory that loading and running the model adds, at its peak, in a new process."""

    max_bytes: Count | None = None
    """Largest peak."""
    max_growth: Growth | None = None
    """Largest growth against the baseline (0.1 = 10 %)."""


class IntegersGate(GateBlock):
    """Share of the multiply-accumulates that the engine runs in integers."""

    min_share: Share | None = None
    """Lowest share."""
    max_drop: Share | None = None
    """Largest loss against the baseline (0.01 = one point)."""


class StructureGate(GateBlock):
    """What the graph is made of."""

    same_interface: bool = True
    """Names, types and shapes of inputs and outputs are the baseline's."""
    no_float_weights: bool = False
    """Layers that multiply by weights store them in integers."""
    float_layers: tuple[Selector, ...] = Field(default=(), examples=[["first_conv"]])
    """Layers that may keep float weights all the same."""
    sparsity: str | None = Field(
        default=None, examples=["2:4"], json_schema_extra={"pattern": "^[0-9]+:[0-9]+$"}
    )
    """N:M: of M weights in a row along the summed axis, at most N differ from zero."""
    sparse_layers: tuple[Selector, ...] = Field(default=(), examples=[[{"op_type": "Conv"}]])
    """Layers that must hold the pattern; by default those of the baseline that do, and without one
    all whose number of inputs is a multiple of M."""
    allow_operators: tuple[str, ...] | None = Field(default=None, examples=[["Conv", "Relu"]])
    """The only operators allowed; those of other domains are written `domain::Operator`."""
    deny_operators: tuple[str, ...] = Field(default=(), examples=[["Loop", "NonMaxSuppression"]])
    """Operators that are not allowed."""

    @field_validator("sparsity")
    @classmethod
    def _fewer_than_all(cls, value: str | None) -> str | None:
        kept, _, group = ("1:2" if value is None else value).partition(":")
        if kept.isdecimal() and group.isdecimal() and 0 < int(kept) < int(group) <= _LONGEST_GROUP:
            return value
        raise ValueError(f"'{value}' is no N:M with 0 < N < M ≤ {_LONGEST_GROUP}, such as '2:4'")


class LintGate(GateBlock):
    """Would other engines take the model, and run it in integers? From their target profiles."""

    targets: tuple[str, ...] = Field(default=("tensorrt", "qnn", "openvino"), min_length=1)
    """Bundled targets or paths of .toml files."""
    min_share: Share | None = None
    """Lowest share of multiply-accumulates that each of them runs in integers."""


class Gates(Block):
    """Everything `onnxq check` can be told. A gate set to null is off."""

    target: str = "ort-cpu"
    """The engine that will run the model: a bundled target or the path of a .toml file."""
    baseline: str | None = Field(default=None, examples=["onnxq.lock.json"])
    """The model to compare with, or the lock file that `--update-baseline` wrote."""
    evaluate: Evaluate = Evaluate()
    """Inputs and labels on which models are run."""
    validity: ValidityGate | None = ValidityGate()
    """The file is valid and loads."""
    numerics: NumericsGate | None = NumericsGate()
    """Outputs are finite and close to the baseline's."""
    accuracy: AccuracyGate | None = None
    """How often the model is right."""
    size: SizeGate | None = None
    """Bytes of the file."""
    parameters: ParametersGate | None = None
    """Number of constants."""
    work: WorkGate | None = None
    """Multiply-accumulates and bit operations."""
    latency: LatencyGate | None = None
    """Time of one run."""
    memory: MemoryGate | None = None
    """Peak memory."""
    integers: IntegersGate | None = None
    """What runs in integers."""
    structure: StructureGate | None = StructureGate()
    """What the graph is made of."""
    lint: LintGate | None = None
    """What other engines would make of it."""
    dimensions: dict[str, Annotated[int, Field(ge=1)]] = Field(default={}, examples=[{"batch": 1}])
    """Sizes of free dimensions by name, for counting and for made-up inputs; 1 by default."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of everything random."""
    threads: int = Field(default=1, ge=0, le=4096)
    """Threads of the engine while speed is measured; 0: as many as it likes."""

    @model_validator(mode="after")
    def _accuracy_needs_labels(self) -> Self:
        if self.accuracy is not None and self.evaluate.labels is None:
            raise ValueError(
                "the gate `accuracy` needs labels; set `evaluate.data` and `evaluate.labels`"
            )
        return self

    @model_validator(mode="after")
    def _accuracy_is_a_fraction(self) -> Self:
        """`max_drop: 1` for one point would let every model pass."""
        if self.accuracy is None or not self.evaluate.metric.startswith("top-"):
            return self
        for name in ("minimum", "max_drop"):
            limit = getattr(self.accuracy, name)
            if limit is not None and not 0 <= limit < 1:
                raise ValueError(
                    f"`accuracy.{name}` is {limit:g}, but {self.evaluate.metric} lies between "
                    "0 and 1: one point is 0.01"
                )
        return self

    def resolved(self, directory: Path) -> Gates:
        """These gates with their relative paths taken from `directory`."""
        evaluate = self.evaluate
        if evaluate.data is not None:
            evaluate = evaluate.model_copy(update={"data": data_inside(directory, evaluate.data)})
        if evaluate.labels is not None:
            labels = labels_inside(directory, evaluate.labels)
            evaluate = evaluate.model_copy(update={"labels": labels})
        changed: dict[str, object] = {"target": target_inside(directory, self.target)}
        if self.baseline is not None:
            changed["baseline"] = data_inside(directory, self.baseline)
        if self.lint is not None:
            targets = tuple(target_inside(directory, name) for name in self.lint.targets)
            changed["lint"] = self.lint.model_copy(update={"targets": targets})
        if evaluate != self.evaluate:
            changed["evaluate"] = evaluate
        # Only what changes is copied, or it would count as set by the user.
        changed = {key: value for key, value in changed.items() if value != getattr(self, key)}
        return self.model_copy(update=changed)


_LONGEST_GROUP = 64
