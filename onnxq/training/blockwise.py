"""Reconstruction block by block: each learns to give what the original gives at its end.

A block reads what the quantized blocks before it compute, so that it makes up for their errors
too (Li et al. 2021, BRECQ, arXiv:2102.05426; the loss here is the plain squared error).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from onnxq.config import MatchOutputs
from onnxq.engine import Feed
from onnxq.graph import Model
from onnxq.training.blocks import Block, blocks_of
from onnxq.training.checkpoints import load_checkpoint, save_checkpoint
from onnxq.training.fake_quantize import FakeQuantize
from onnxq.training.losses import Losses
from onnxq.training.module import TorchModel
from onnxq.training.network import ORIGINAL, BlockNetwork
from onnxq.training.quantized import QuantizedTorch, weighted_layers
from onnxq.training.samples import Samples
from onnxq.training.student import Student
from onnxq.training.task import Evaluation, Report, Task, TrainingResult
from onnxq.training.trainer import train


def train_blocks(
    model: Model, quantized: QuantizedTorch, original: TorchModel, task: Task, report: Report
) -> TrainingResult:
    """Train the blocks of a quantized model in order.

    Args:
        model: The float model that it was imported from.
        quantized: What learns.
        original: What is right.
        task: The training of the whole; its samples, settings and device are used.
        report: Is told how far it is, over all blocks.
    """
    settings = task.settings.blocks
    assert settings is not None
    blocks = blocks_of(model, weighted_layers(quantized.plan), settings.layers)
    ours = _Values(quantized.network, task.train, task.device)
    theirs = _Values(original, task.train, task.device)
    begun = _resumed(task, quantized, blocks, ours, theirs)
    history, seconds = begun.history, begun.seconds
    total = settings.steps * len(blocks)
    for number, block in enumerate(blocks[begun.blocks :], begun.blocks):
        done = number * settings.steps
        tell = _Told(report, done, total, settings.steps)
        result = train(_block_task(task, block, quantized, ours, theirs), tell)
        seconds += result.seconds
        history += [replace(e, step=done + e.step) for e in result.history]
        ours.advance(block)
        theirs.advance(block)
        _save(task, quantized, _Begun(number + 1, history, seconds), ours)
    first, last = history[0].held_out, history[-1].held_out
    return TrainingResult(total, total, first, last, tuple(history), "", seconds)


@dataclass(frozen=True)
class _Begun:
    """What is done: how many blocks, and how they went."""

    blocks: int
    history: list[Evaluation]
    seconds: float


def _save(task: Task, quantized: QuantizedTorch, begun: _Begun, ours: _Values) -> None:
    if task.settings.checkpoints is None or not task.processes.is_first:
        return
    state = {
        "blocks": begun.blocks,
        "seconds": begun.seconds,
        "history": [[e.step, e.loss, e.held_out, e.rate] for e in begun.history],
        "network": quantized.network.state_dict(),
        # Later blocks may train quantizers of earlier ones: values are not computed again.
        "values": ours.at,
    }
    save_checkpoint(Path(task.settings.checkpoints), task.key, state)


def _resumed(
    task: Task, quantized: QuantizedTorch, blocks: Sequence[Block], ours: _Values, theirs: _Values
) -> _Begun:
    """Go on behind the last block that a stopped run finished."""
    directory = task.settings.checkpoints
    state = None if directory is None else load_checkpoint(Path(directory), task.key)
    if state is None:
        return _Begun(0, [], 0.0)
    quantized.network.load_state_dict(state["network"])
    ours.at = state["values"]
    for block in blocks[: state["blocks"]]:
        theirs.advance(block)
    history = [Evaluation(*numbers) for numbers in state["history"]]
    return _Begun(state["blocks"], history, state["seconds"])


@dataclass(frozen=True)
class _Told:
    """Tells of one block as of a part of all."""

    report: Report
    done: int
    total: int
    each: int

    def __call__(self, step: int, total: int, figures: Mapping[str, float]) -> None:
        left = figures["left"] * (self.total - self.done) / self.each
        self.report(self.done + step, self.total, {**figures, "left": left})


class _Values:
    """What passes the place between two blocks, for all samples, one sample each."""

    def __init__(self, network: TorchModel, samples: Samples, device: torch.device) -> None:
        self.network, self.device = network, device
        self.at: list[dict[str, Tensor]] = [
            {name: torch.from_numpy(array) for name, array in feed.items()}
            for feed in samples.feeds
        ]

    def after(self, block: Block) -> list[dict[str, Tensor]]:
        """What the block gives."""
        self.network.eval()
        with torch.no_grad():
            return [self._run(values, block) for values in self.at]

    def advance(self, block: Block) -> None:
        """Go to the end of the block; what passes it untouched is kept."""
        self.at = [{**a, **b} for a, b in zip(self.at, self.after(block), strict=True)]

    def _run(self, values: Mapping[str, Tensor], block: Block) -> dict[str, Tensor]:
        given = {n: values[n].to(self.device) for n in block.reads if n in values}
        found = self.network(given, wanted=block.gives)
        return {name: value.cpu() for name, value in found.items()}


def _block_task(
    task: Task, block: Block, quantized: QuantizedTorch, ours: _Values, theirs: _Values
) -> Task:
    settings = task.settings.blocks
    assert settings is not None
    feeds: list[Feed] = []
    for mine, right in zip(ours.at, theirs.at, strict=True):
        feed = {n: mine[n].numpy() for n in block.reads}
        feed |= {
            f"{n}{ORIGINAL}": right[n].numpy() for n in block.reads if right[n].is_floating_point()
        }
        feeds.append(feed)
    samples = Samples(feeds, None, task.train.stacks, theirs.after(block))
    own = task.settings.model_copy(
        update={"steps": settings.steps, "checkpoints": None, "patience": None, "evaluations": 1}
    )
    count = max(len(samples) // 8, 1)
    return replace(
        task,
        student=_student(task, block, quantized, settings.drop),
        original=None,
        losses=Losses((MatchOutputs(),), block.gives),
        train=samples,
        held_out=samples.part(range(count)),
        settings=own,
        metric=None,
    )


def _student(task: Task, block: Block, quantized: QuantizedTorch, drop: float) -> Student:
    network = BlockNetwork(quantized.network, block.gives, drop)
    scales = [p for q in _quantizers(block, quantized) for p in q.parameters()]
    inside = set(block.weights)
    weights = {n: p for n, p in task.student.weights.items() if n in inside}
    return Student(network, weights, scales, (), task.student.hooks)


def _quantizers(block: Block, quantized: QuantizedTorch) -> Sequence[FakeQuantize]:
    inside = {*block.weights, *block.made, *block.reads} - set(block.gives)
    found: list[FakeQuantize] = [
        q for use, q in quantized.weights.items() if use.node in block.nodes
    ]
    found += [q for name, q in quantized.activations.items() if name in inside]
    return list(dict.fromkeys(found))
