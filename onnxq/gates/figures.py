"""The figures of a model that do not change from run to run: what a lock file records."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from onnxq.gates.subject import Subject
from onnxq.measure import Accuracy, Port

Ports: TypeAlias = tuple[Port, ...]


@dataclass(frozen=True)
class Score:
    """A recorded accuracy.

    Attributes:
        metric: Name of the metric.
        value: The score.
        samples: Number of labelled samples.
        higher_is_better: Direction of the metric.
    """

    metric: str
    value: float
    samples: int
    higher_is_better: bool


@dataclass(frozen=True)
class Figures:
    """A model in figures.

    Attributes:
        digest: SHA-256 of the file.
        bytes: Bytes on disk, external data included.
        parameters: Number of constants.
        macs: Multiply-accumulates of one run.
        bit_operations: Each of them times the bits of both factors.
        integer_share: Share of them that the engine here runs in integers.
        sparsity: Share of zeros among the weights.
        opset: Version of ONNX's operator set.
        ir_version: Version of the file format.
        operators: Number of nodes by operator, by name.
        inputs: What must be fed.
        outputs: What the model returns.
        score: Accuracy, if there are labels.
    """

    digest: str
    bytes: int
    parameters: int
    macs: int
    bit_operations: int
    integer_share: float
    sparsity: float
    opset: int
    ir_version: int
    operators: Mapping[str, int]
    inputs: Ports
    outputs: Ports
    score: Score | None

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return asdict(self)


def figures_of(subject: Subject, accuracy: Accuracy | None) -> Figures:
    """Measure a model.

    Raises:
        ModelError: if it cannot be read, or the engine refuses it.
    """
    summary = subject.summary
    return Figures(
        digest=file_digest(subject),
        bytes=subject.size.total,
        parameters=summary.parameters.total,
        macs=subject.cost.macs,
        bit_operations=subject.bit_operations,
        integer_share=subject.integer_share,
        sparsity=summary.parameters.sparsity,
        opset=subject.model.opset,
        ir_version=summary.ir_version,
        operators=dict(sorted(summary.operators.items())),
        inputs=summary.inputs,
        outputs=summary.outputs,
        score=None if accuracy is None else score_of(accuracy),
    )


def score_of(accuracy: Accuracy) -> Score:
    """What is recorded of an accuracy."""
    return Score(accuracy.metric, accuracy.value, accuracy.samples, accuracy.higher_is_better)


def file_digest(subject: Subject) -> str:
    """SHA-256 of the model's file and then of its external data, in the order of their names."""
    digest = hashlib.sha256()
    names = sorted(subject.size.external)
    for path in (subject.path, *(subject.path.parent / name for name in names)):
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
