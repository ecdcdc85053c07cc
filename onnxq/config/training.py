"""The block `finetune`: how a model is trained again from its ONNX file."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from onnxq.config.base import Block
from onnxq.config.inputs import Preprocessing
from onnxq.config.paths import is_function
from onnxq.config.selectors import Selector

Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, le=10)]

WeightLearning: TypeAlias = Literal["lsq", "arq", "ulq", "dorefa", "ste", "adaround"]
ActivationLearning: TypeAlias = Literal["lsq", "lsq+", "pact", "ulq", "ste"]


class _Kind(Block):
    """One of several blocks that are told apart by their `kind`."""

    model_config = ConfigDict(json_schema_extra={"required": ["kind"]})


class _Weighted(_Kind):
    weight: float = Field(default=1.0, gt=0)
    """Factor in the sum of the losses."""
    output: str | None = None
    """The model output it looks at; all float outputs by default."""


class Distill(_Weighted):
    """Kullback-Leibler divergence from the original's softmax, times T² (Hinton et al. 2015)."""

    kind: Literal["distill"] = "distill"
    temperature: float = Field(default=4.0, gt=0)
    """T: both logits are divided by it. Above 1 the small logits count too, which is most of what
    few inputs can teach."""


class MatchOutputs(_Weighted):
    """Squared difference to the original's outputs, over their mean square."""

    kind: Literal["match"] = "match"


class MatchDirections(_Weighted):
    """1 - cosine to the original's outputs, along the last axis: for embeddings."""

    kind: Literal["cosine"] = "cosine"


class MatchFeatures(_Weighted):
    """The same at the ends of blocks, inside the model."""

    kind: Literal["features"] = "features"
    tensors: tuple[str, ...] = ()
    """Names of the tensors; the ends of blocks by default."""


class CrossEntropy(_Weighted):
    """Cross entropy of the logits with class numbers as labels."""

    kind: Literal["cross-entropy"] = "cross-entropy"
    smoothing: Share = 0.0
    """Share of the probability spread over all classes."""


class SquaredError(_Weighted):
    """Mean squared difference to the labels."""

    kind: Literal["mse"] = "mse"


class OwnLoss(_Weighted):
    """A function of yours: (outputs, original's outputs, labels or None) → a scalar tensor."""

    kind: Literal["function"] = "function"
    function: str = Field(examples=["my_losses:loss"])
    """`module:function`; the first two arguments are mappings from names to tensors."""

    @field_validator("function")
    @classmethod
    def _names_a_function(cls, value: str) -> str:
        if not is_function(value):
            raise ValueError(f"'{value}' has not the form module:function")
        return value


LossSettings: TypeAlias = (
    Distill | MatchOutputs | MatchDirections | MatchFeatures | CrossEntropy | SquaredError | OwnLoss
)


def _spelled_out(value: Any) -> Any:
    """`cosine` stands for `{kind: cosine}`."""
    return {"kind": value} if isinstance(value, str) else value


_LossKind = Literal["distill", "match", "cosine", "features", "cross-entropy", "mse"]
_AnyLoss = Annotated[LossSettings, Field(discriminator="kind")]
Loss: TypeAlias = Annotated[
    _AnyLoss, BeforeValidator(_spelled_out, json_schema_input_type=_AnyLoss | _LossKind)
]


class Constant(_Kind):
    """The rate stays."""

    kind: Literal["constant"] = "constant"


class Cosine(_Kind):
    """The rate falls along half a cosine."""

    kind: Literal["cosine"] = "cosine"
    end: Share = 0.01
    """What is left of the rate at the end, as a share of it."""


class Steps(_Kind):
    """The rate falls at some points of the training."""

    kind: Literal["step"] = "step"
    at: tuple[Share, ...] = (0.5, 0.75)
    """Where, as shares of all steps."""
    factor: float = Field(default=0.1, gt=0, lt=1)
    """What is left of it each time."""


class Plateau(_Kind):
    """The rate falls when the held-out metric has not improved for some evaluations."""

    kind: Literal["plateau"] = "plateau"
    patience: int = Field(default=2, ge=0)
    """Evaluations without improvement before it falls."""
    factor: float = Field(default=0.3, gt=0, lt=1)
    """What is left of it each time."""


_AnySchedule = Annotated[Constant | Cosine | Steps | Plateau, Field(discriminator="kind")]
Schedule: TypeAlias = Annotated[
    _AnySchedule,
    BeforeValidator(
        _spelled_out,
        json_schema_input_type=_AnySchedule | Literal["constant", "cosine", "step", "plateau"],
    ),
]


class FakeQuantization(Block):
    """How rounding is learned. Which tensors are rounded, and to how many bits, the plan says."""

    weights: WeightLearning = "lsq"
    """Weights: learned scales (`lsq`, `ulq`), the range of the weight in every step (`arq`), the
    same behind tanh (`dorefa`), fixed scales (`ste`), or learned rounding alone (`adaround`)."""
    activations: ActivationLearning = "lsq"
    """Activations: learned scales (`lsq`), scales and offsets (`lsq+`), upper ends (`pact`), both
    ends (`ulq`), or fixed ranges (`ste`)."""
    delay: Share = 0.0
    """Share of the steps before anything is rounded."""
    observe: Share = 0.0
    """Share of the steps in which fixed ranges follow what is seen; then they freeze."""
    pact_decay: float = Field(default=1e-4, ge=0)
    """L2 penalty on the upper ends that `pact` learns."""
    outer_bits: int | None = Field(default=8, ge=2, le=16)
    """Bits of the first and the last layer with weights, and of what they read; null: as others."""


class BlockWise(Block):
    """Blocks are trained in turn to reproduce what the original computes at their ends."""

    steps: int = Field(default=200, ge=1)
    """Steps per block."""
    layers: int = Field(default=4, ge=1)
    """Layers with weights per block, about."""
    drop: Share = 0.5
    """Share of what a block reads that is taken from the original instead of the quantized model
    (QDrop)."""


class LearningRule(Block):
    """How some layers learn, where it differs from `quantization` and `update_masks`."""

    match: Selector = Field(examples=[{"glob": "/head/*"}])
    """The layers: `{name: …}`, `{glob: …}`, `{regex: …}` or `{op_type: …}`."""
    weights: WeightLearning | None = None
    """How their weights learn."""
    activations: ActivationLearning | None = None
    """How the tensors that they write learn; an input of the model is named itself."""
    update_masks: int | None = Field(default=None, ge=0)
    """Steps after which their N:M masks are chosen anew; 0: they stay."""


class Finetune(Block):
    """How a model is trained again. Without labels it learns from the original model."""

    losses: tuple[Loss, ...] = ()
    """What is minimised, summed; by default `distill` where outputs are logits, `cosine` and
    `match` where they are not."""
    data: str | None = None
    """Training inputs, as for `calibration.data`, which is the default."""
    labels: str | None = None
    """Labels of the training inputs, as for `evaluate.labels`."""
    preprocessing: Preprocessing | None = None
    """How image files become inputs; as for calibration by default."""
    samples: int = Field(default=1024, ge=1)
    """At most so many training inputs are read."""
    held_out: Share = 0.1
    """Share of the training inputs on which progress is measured instead of learning from them;
    unless it is 0, at least 16 of them, or a quarter where there are few."""
    mix: Share = 0.0
    """Share of the batches in which inputs are blended with others (mixup): for few samples."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """How weights are moved."""
    rate: Rate = 3e-4
    """Learning rate of weights; a fraction of what a model was trained with."""
    scale_rate: Rate = 1e-2
    """Learning rate of scales and ranges, in units of what calibration found."""
    weight_decay: float = Field(default=0.0, ge=0)
    """L2 penalty on weights (decoupled for `adamw`)."""
    momentum: Share = 0.9
    """Of `sgd`."""
    batch: int = Field(default=32, ge=1)
    """Samples per step."""
    epochs: float | None = Field(default=None, gt=0)
    """Times that all training inputs are seen; by default 10, and for at least 300 steps."""
    steps: int | None = Field(default=None, ge=1)
    """Steps, instead of `epochs`."""
    minutes: float | None = Field(default=None, gt=0)
    """Stops after so much time; the rate falls with the steps all the same."""
    schedule: Schedule = Cosine()
    """How the rate falls."""
    warmup: Share = 0.05
    """Share of the steps in which the rate rises from zero."""
    clip_norm: float | None = Field(default=1.0, gt=0)
    """Largest norm of the gradient; null: any."""
    average: float | None = Field(default=None, gt=0, lt=1)
    """Decay of the exponential moving average of the weights that is kept; null: none."""
    evaluations: int = Field(default=10, ge=1)
    """How often the held-out inputs are looked at."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many evaluations without improvement."""
    train: Literal["all", "weights", "scales"] = "all"
    """What learns: weights and biases with their scales, or one of the two."""
    quantization: FakeQuantization | None = FakeQuantization()
    """How rounding is learned; null: the float model is trained."""
    rules: tuple[LearningRule, ...] = ()
    """How single layers learn; later ones win, field by field."""
    blocks: BlockWise | None = None
    """Train block by block instead of the whole model: cheaper."""
    batch_norm: Literal["frozen", "trained", "folded"] = "frozen"
    """Whether BatchNormalization stands still (what is quantized has it fused into the layers
    before), follows the batches while a float model is trained (`trained`), or while a quantized
    one is (`folded`): what is rounded then is the weight of the layer before with it folded in."""
    freeze_batch_norm: Share = 0.5
    """Share of the steps after which statistics that follow stand still; those of `trained` are
    found anew at the end."""
    update_masks: int = Field(default=0, ge=0)
    """N:M masks are chosen anew every so many steps; 0: they stay."""
    checkpoints: str | None = None
    """A directory for checkpoints; a run that was stopped goes on from there."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`, or `auto`: a GPU where there is one."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        labelled = any(isinstance(loss, CrossEntropy | SquaredError) for loss in self.losses)
        if labelled and self.labels is None:
            raise ValueError("`cross-entropy` and `mse` compare with labels; set `labels`")
        if self.train == "scales" and self.quantization is None:
            raise ValueError("`train: scales` without `quantization`: nothing would learn")
        if self.batch_norm == "folded":
            self._can_fold()
        key = self.asks_for_rounding
        if self.quantization is None and key:
            raise ValueError(f"`{key}` says how rounding is learned, but `quantization` is null")
        return self

    def _can_fold(self) -> None:
        if self.blocks is not None:
            raise ValueError(
                "`batch_norm: folded` with `blocks`: these are trained apart, with normalisations "
                "that stand still; leave out one of the two"
            )
        if self.train == "scales":
            raise ValueError(
                "`batch_norm: folded` with `train: scales`: weights would move with the "
                "statistics; take `train: all` or `weights`"
            )

    @property
    def asks_for_rounding(self) -> str:
        """The key under which the user says how rounding is learned; empty: nowhere."""
        for number, rule in enumerate(self.rules):
            for name in ("weights", "activations"):
                if getattr(rule, name) is not None:
                    return f"rules[{number}].{name}"
        if self.quantization not in (None, FakeQuantization()):
            return "quantization"
        if self.train == "scales":
            return "train: scales"
        return "batch_norm: folded" if self.batch_norm == "folded" else ""
