"""Fine-tuning of one model: import, train, and give back what was learned."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from onnxq.config import Finetune, MatchFeatures
from onnxq.engine import Feed
from onnxq.errors import DataError
from onnxq.graph import Model
from onnxq.plan import Plan, Use, resolve_learning
from onnxq.quant import Codes, QParams
from onnxq.training.agreement import check_agreement, run_arrays
from onnxq.training.batch_norms import FreezeBatchNorms, FreezeLayers, reestimate_batch_norms
from onnxq.training.blocks import ends_of_blocks
from onnxq.training.blockwise import train_blocks
from onnxq.training.distributed import Processes, connected, device_for, processes_around
from onnxq.training.fake_quantize import ClippedAbove, DecideRounding, RoundingPhases
from onnxq.training.features import comparable, require_comparable
from onnxq.training.importing import to_torch
from onnxq.training.losses import Losses, default_losses
from onnxq.training.masks import HeldMasks, masks_of
from onnxq.training.module import TorchModel
from onnxq.training.network import Network
from onnxq.training.quantized import QuantizedTorch, masking, quantized_torch, weighted_layers
from onnxq.training.samples import Samples, can_stack
from onnxq.training.student import Hook, Student
from onnxq.training.task import Report, Task, TrainingResult, unheard
from onnxq.training.trainer import train
from onnxq.training.unfolding import Unfolded, unfold
from onnxq.training.write_back import write_back

_CHECKED = 2
_LAYERS_PER_FEATURE = 4
_MOST_LOGITS = 32768


@dataclass(frozen=True)
class Start:
    """Where the training of a quantized model begins.

    Attributes:
        plan: What is rounded.
        activations: Scales and zero points, by tensor.
        weights: The same of weights and tables, by use.
    """

    plan: Plan
    activations: Mapping[str, QParams]
    weights: Mapping[Use, QParams]


@dataclass(frozen=True)
class Assignment:
    """What is to be learned.

    Attributes:
        model: The float model; it is not changed.
        teacher: The model that is right; it may be the same.
        start: How it is quantized; None: the float model is trained.
        feeds: Training inputs.
        labels: [samples, …] or None.
        settings: How to train.
        seed: Of everything random.
        original: The model before its batch normalisations were folded, for those that want them.
    """

    model: Model
    teacher: Model
    start: Start | None
    feeds: Sequence[Feed]
    labels: NDArray[Any] | None
    settings: Finetune
    seed: int = 0
    original: Model | None = None


@dataclass(frozen=True)
class Learned:
    """What was learned.

    Attributes:
        model: The float model with the trained weights.
        parameters: Scales and zero points of the activations, by tensor.
        codes: The integers of the weights, by use.
        result: How the training went.
        network: The trained network.
        losses: What was minimised, in words.
        held_out: Inputs that nothing was learned from; the others if there are none.
        samples: Numbers of inputs learned from and held out.
        is_first: Whether this process is the one that writes.
        still_norms: Where batch normalisations train with their layers, those that do not: the
            reasons by name.
    """

    model: Model
    parameters: Mapping[str, QParams]
    codes: Mapping[Use, Codes]
    result: TrainingResult
    network: TorchModel
    losses: tuple[str, ...]
    held_out: Sequence[Feed]
    samples: tuple[int, int]
    is_first: bool
    still_norms: Mapping[str, str] = field(default_factory=dict)

    def run(self, feed: Feed) -> dict[str, NDArray[Any]]:
        """What the trained network returns."""
        return run_arrays(self.network, feed)

    def inner(self, given: Feed, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Tensors inside the trained network, before they are rounded.

        Args:
            given: The inputs, and the tensors inside that are known already.
            names: What is wanted.
        """
        found = run_arrays(self.network, given, names)
        self.network.forget_programs()
        return found


def fine_tune(job: Assignment, report: Report = unheard) -> Learned:
    """Train a model.

    Raises:
        PreconditionError: torch cannot run the model, or computes something else than ONNX
            Runtime.
        DataError: There is nothing to learn from, or the training diverges.
    """
    if not job.feeds:
        raise DataError("there is nothing to learn from", where="finetune.data")
    processes = processes_around()
    device = device_for(job.settings.device, processes)
    with connected(processes, device):
        return _Work(job, processes, device).learn(report)


class _Work:
    def __init__(self, job: Assignment, processes: Processes, device: torch.device) -> None:
        self.job, self.processes, self.device = job, processes, device
        self.settings = job.settings
        learning = resolve_learning(job.model, job.settings.rules)
        self.masks = HeldMasks(
            masks_of(job.model, lambda n: learning.update_masks(n, job.settings.update_masks))
        )
        self.quantized = self._quantized()
        if self.quantized is None:
            self.network = to_torch(job.model)
            self.network.transforms = masking(self.masks.modules)
        else:
            self.network = self.quantized.network
        self.unfolded = self._unfolded()
        if self.unfolded is not None:
            self.network = self.unfolded.network
        self.masks.watch(self.unfolded or self.network)
        check_agreement(to_torch(job.model), job.model, job.feeds[:_CHECKED])
        self.network.to(device)
        self.teacher_model = to_torch(job.teacher).to(device).eval()
        self.teacher_model.requires_grad_(requires_grad=False)
        outputs = self._float_outputs()
        self.losses = Losses(
            job.settings.losses or default_losses(self._are_logits(outputs)),
            outputs,
            self._ends_of_blocks(),
        )
        require_comparable(self.network, self.teacher_model, job.feeds[0], self.losses.features)
        self.student = Network(self.network, outputs, self.losses.features)
        self.teacher = Network(self.teacher_model, outputs, self.losses.features)

    def learn(self, report: Report) -> Learned:
        train_samples, held_out = self._samples().divided(self.settings.held_out)
        if self.settings.blocks is not None and self.quantized is not None:
            result = train_blocks(
                self.job.model,
                self.quantized,
                self.teacher_model,
                self._task(train_samples, held_out),
                report,
            )
        else:
            result = train(self._task(train_samples, held_out), report)
        if self.settings.batch_norm == "trained":
            indices = range(0, len(train_samples), self.settings.batch)
            reestimate_batch_norms(
                self.network,
                (
                    batch.feed
                    for i in indices
                    for batch in train_samples.batches(
                        list(range(i, min(i + self.settings.batch, len(train_samples)))),
                        self.device,
                    )
                ),
            )
        return self._learned(result, train_samples, held_out)

    def _task(self, train_samples: Samples, held_out: Samples) -> Task:
        return Task(
            student=self._student(),
            original=self.teacher,
            losses=self.losses,
            train=train_samples,
            held_out=held_out,
            settings=self.settings,
            seed=self.job.seed,
            device=self.device,
            processes=self.processes,
            key=self._key(),
        )

    def _quantized(self) -> QuantizedTorch | None:
        start, wishes = self.job.start, self.job.settings.quantization
        if start is None or wishes is None:
            return None
        return quantized_torch(
            self.job.model,
            start.plan,
            start.activations,
            start.weights,
            wishes,
            self.masks.modules,
            self.job.settings.rules,
        )

    def _unfolded(self) -> Unfolded | None:
        """The quantized network whose layers have their batch normalisations, if that is wanted."""
        original = self.job.original
        if self.settings.batch_norm != "folded" or self.quantized is None or original is None:
            return None
        return unfold(self.quantized, original, self.job.model, self.masks.modules)

    def _student(self) -> Student:
        hooks: list[Hook] = [self.masks]
        clips: list[nn.Parameter] = []
        scales: list[nn.Parameter] = []
        if self.settings.batch_norm == "trained":
            hooks.append(FreezeBatchNorms(self.network, self.settings.freeze_batch_norm))
        if self.unfolded is not None:
            hooks.append(FreezeLayers(self.unfolded.layers, self.settings.freeze_batch_norm))
        if self.quantized is not None and self.settings.quantization is not None:
            quantizers = self.quantized.quantizers
            hooks += [RoundingPhases(quantizers, self.settings.quantization)]
            hooks += [DecideRounding(quantizers)]
            for quantizer in quantizers:
                kind = clips if isinstance(quantizer.grid, ClippedAbove) else scales
                kind.extend(quantizer.parameters())
        weights = (self.unfolded or self.network).parameters_by_name
        return Student(self.student, weights, scales, clips, hooks)

    def _samples(self) -> Samples:
        labels = None if self.job.labels is None else torch.from_numpy(self.job.labels)
        stacks = can_stack(self._both, self.job.feeds, self.device)
        samples = Samples(self.job.feeds, labels, stacks)
        repeats = not self.settings.mix and self.losses.needs_original
        return samples.remembering(self._taught, self.device) if repeats else samples

    def _both(self, feed: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        with torch.no_grad():
            found: Mapping[str, torch.Tensor] = self.teacher(feed)
        return found

    _taught = _both

    def _ends_of_blocks(self) -> list[str]:
        """Inside a small model, of smaller blocks."""
        layers = self._layers()
        for count in (_LAYERS_PER_FEATURE, 1):
            found = self._comparable(ends_of_blocks(self.job.model, layers, count))
            if found:
                return found
        return []

    def _comparable(self, names: Sequence[str]) -> list[str]:
        if not any(isinstance(one, MatchFeatures) for one in self.settings.losses):
            return list(names)
        return comparable(self.network, self.teacher_model, self.job.feeds[0], names)

    def _float_outputs(self) -> list[str]:
        found = run_arrays(self.teacher_model, self.job.feeds[0])
        return [
            name
            for name, value in found.items()
            if isinstance(value, np.ndarray) and value.dtype.kind == "f"
        ]

    def _are_logits(self, outputs: Sequence[str]) -> bool:
        """Whether outputs are [samples, classes] and not of length one, as embeddings may be."""
        found = run_arrays(self.teacher_model, self.job.feeds[0])
        return all(
            found[name].ndim == len("nc") and 1 < found[name].shape[1] <= _MOST_LOGITS
            for name in outputs
        )

    def _layers(self) -> Sequence[str]:
        if self.job.start is not None:
            return weighted_layers(self.job.start.plan)
        ops = ("Conv", "ConvTranspose", "Gemm", "MatMul")
        return [node.name for node in self.job.model.nodes if node.op in ops]

    def _key(self) -> str:
        digest = hashlib.sha256()
        digest.update(self.job.model.digest().encode())
        digest.update(self.job.teacher.digest().encode())
        settings = self.settings.model_dump_json(exclude={"checkpoints", "minutes", "device"})
        digest.update(f"{settings} {self.job.seed} {len(self.job.feeds)}".encode())
        for array in self.job.feeds[0].values():
            digest.update(np.ascontiguousarray(array).tobytes())
        if self.job.start is not None:
            digest.update(repr(sorted(self.job.start.plan.to_dict().items())).encode())
        return digest.hexdigest()

    def _learned(
        self, result: TrainingResult, train_samples: Samples, held_out: Samples
    ) -> Learned:
        if self.unfolded is not None and self.quantized is not None:
            self.unfolded.fold_into(self.quantized, self.job.model)
            self.network = self.quantized.network
        self.network.eval()
        self.network.to("cpu")
        values = {n: t.detach().numpy() for n, t in self.network.tensors_by_name.items()}
        values = self.masks.applied(values)
        trained = write_back(self.job.model, values)
        parameters = self.quantized.parameters() if self.quantized else {}
        codes = self.quantized.codes(trained) if self.quantized else {}
        return Learned(
            trained,
            parameters,
            codes,
            result,
            self.network,
            self.losses.in_words,
            held_out.feeds or train_samples.feeds,
            (len(train_samples), len(held_out)),
            self.processes.is_first,
            {} if self.unfolded is None else self.unfolded.others,
        )
