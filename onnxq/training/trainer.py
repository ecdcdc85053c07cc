"""The training loop: steps, evaluations, checkpoints.

Everything random in step t is drawn from a generator seeded with (seed, t), so that a training
that is resumed at any step goes on exactly as it would have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from onnxq.errors import DataError
from onnxq.training.averaging import Average
from onnxq.training.checkpoints import load_checkpoint, save_checkpoint
from onnxq.training.losses import Losses, Question
from onnxq.training.samples import Batch, blended
from onnxq.training.schedules import Watch, factor
from onnxq.training.student import Tensors, make_optimizer
from onnxq.training.task import Evaluation, Report, Task, TrainingResult, unheard

_SEED_STEP = 2_654_435_761


def train(task: Task, report: Report = unheard) -> TrainingResult:
    """Train, and leave the best state in the network.

    Raises:
        DataError: There is nothing to learn from, the loss is not finite in the first steps, or
            the checkpoint is of another training.
    """
    if not len(task.train):
        raise DataError("there is nothing to learn from", where="finetune.data")
    with torch.random.fork_rng(devices=[]):
        return _Loop(task, report).run()


class _Loss(nn.Module):
    """The loss as a module, so that processes can share its gradients."""

    def __init__(self, network: nn.Module, losses: Losses) -> None:
        super().__init__()
        self.network, self.losses = network, losses

    def forward(self, feed: Tensors, expected: Tensors, labels: Tensor | None) -> Tensor:
        return self.losses(Question(self.network(feed), expected, labels))


class _Loop:
    def __init__(self, task: Task, report: Report) -> None:
        self.task, self.report, self.settings = task, report, task.settings
        self.network = task.student.network
        self.optimizer = make_optimizer(task.student, task.settings)
        if not self.optimizer.param_groups:
            raise DataError("nothing in the model can learn", where="finetune.train")
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.loss: nn.Module = _Loss(self.network, task.losses)
        if task.processes.count > 1:
            self.loss = DistributedDataParallel(self.loss, find_unused_parameters=True)
        decay = task.settings.average
        self.average = None if decay is None else Average(self.network, decay)
        self.watch, self.history = Watch(), list[Evaluation]()
        self.step, self.best_step, self.seconds_before = 0, 0, 0.0
        self.best: dict[str, Tensor] = {}
        self.recent: list[float] = []
        self.stopped = ""
        self.started = perf_counter()

    @property
    def seconds(self) -> float:
        return self.seconds_before + perf_counter() - self.started

    def run(self) -> TrainingResult:
        if not self._resumed():
            self._evaluate(loss=math.nan)
        while self.step < self.task.steps and not self.stopped:
            self._make_step()
            if self.step in self._evaluation_steps() or self.stopped:
                self._evaluate(_mean(self.recent))
                self.recent = []
                self._save()
        if self.best:
            self.network.load_state_dict(self.best)
        self.network.eval()
        start, best = self.history[0].held_out, self.watch.best
        return TrainingResult(
            self.step,
            self.best_step,
            start,
            best,
            tuple(self.history),
            self.stopped,
            self.seconds,
        )

    def _evaluation_steps(self) -> set[int]:
        total, count = self.task.steps, self.settings.evaluations
        return {round(total * (i + 1) / count) for i in range(count)}

    def _make_step(self) -> None:
        total, hooks = self.task.steps, self.task.student.hooks
        self.network.train()
        for hook in hooks:
            hook.before_step(self.step, total)
        share = factor(self.settings, self.step, total, self.watch.falls)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * share
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._accumulate()
        if not math.isfinite(loss):
            self._diverged(loss)
            return
        if self.settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._learning(), self.settings.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        for hook in hooks:
            hook.after_step(self.step, total)
        self.step += 1
        self.recent.append(loss)
        self._tell(loss)
        limit = self.settings.minutes
        if limit is not None and self.seconds > 60 * limit:
            self.stopped = f"{limit:g} minutes are over"

    def _learning(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _accumulate(self) -> float:
        """Backward over this process's part of the batch; its loss."""
        task = self.task
        generator = torch.Generator().manual_seed(self._step_seed())
        torch.manual_seed(self._step_seed())
        indices = self._indices()[task.processes.rank :: task.processes.count]
        batches = list(task.train.batches(indices, task.device))
        mixes = float(torch.rand((), generator=generator)) < self.settings.mix
        total = 0.0
        for number, batch in enumerate(batches, 1):
            if mixes:
                batch = blended(batch, generator)
            last = number == len(batches)
            with nullcontext() if last or task.processes.count == 1 else self._alone():
                loss = self.loss(batch.feed, self._expected(batch), batch.labels) * batch.share
                if last:
                    loss = loss + sum(self._penalties(), torch.zeros((), device=loss.device))
                loss.backward()
            total += float(loss.detach())
        return total

    def _alone(self) -> Any:
        assert isinstance(self.loss, DistributedDataParallel)
        return self.loss.no_sync()

    def _penalties(self) -> list[Tensor]:
        hooks = self.task.student.hooks
        found = [hook.penalty(self.step, self.task.steps) for hook in hooks]
        return [penalty for penalty in found if penalty is not None]

    def _indices(self) -> list[int]:
        """The samples of this step: every epoch has an order of its own."""
        epoch, position = divmod(self.step, self.task.steps_per_epoch)
        order = np.random.default_rng([self.task.seed, epoch]).permutation(len(self.task.train))
        start = position * self.task.batch
        chosen: list[int] = order[start : start + self.task.batch].tolist()
        return chosen

    def _step_seed(self) -> int:
        rank = self.task.processes.rank
        return (self.task.seed * _SEED_STEP + self.step * 1009 + rank) % 2**63

    def _expected(self, batch: Batch) -> Tensors:
        if batch.expected is not None:
            return batch.expected
        if self.task.original is None or not self.task.losses.needs_original:
            return {}
        with torch.no_grad():
            return self.task.original(batch.feed)

    def _diverged(self, loss: float) -> None:
        if len(self.history) <= 1:
            raise DataError(
                f"the loss is {loss} in step {self.step + 1}",
                why="the learning rate is too high, or an input holds NaN or infinity",
                remedy="lower finetune.rate and finetune.scale_rate",
            )
        self.stopped = f"the loss became {loss}"

    def _evaluate(self, loss: float) -> None:
        self.network.eval()
        in_place = nullcontext() if self.average is None else self.average.in_place()
        with torch.no_grad(), in_place:
            found = self._held_out()
            share = factor(self.settings, self.step, self.task.steps, self.watch.falls)
            self.history.append(Evaluation(self.step, loss, found, share))
            blind = not len(self.task.held_out) and self.task.metric is None
            if self.watch.see(found, self.settings) or blind:
                self.best_step = self.step
                state = self.network.state_dict()
                self.best = {name: value.detach().clone() for name, value in state.items()}
        patience = self.settings.patience
        if patience is not None and self.watch.waited >= patience and not self.stopped:
            self.stopped = f"no improvement in {patience} evaluations"

    def _held_out(self) -> float:
        task = self.task
        if task.metric is not None:
            return task.metric(self.network)
        if not len(task.held_out):
            return math.nan
        total = 0.0
        for start in range(0, len(task.held_out), task.batch):
            indices = list(range(start, min(start + task.batch, len(task.held_out))))
            for batch in task.held_out.batches(indices, task.device):
                question = Question(self.network(batch.feed), self._expected(batch), batch.labels)
                total += float(task.losses(question)) * batch.share * len(indices)
        return total / len(task.held_out)

    def _tell(self, loss: float) -> None:
        done, total = self.step, self.task.steps
        left = self.seconds / done * (total - done)
        limit = self.settings.minutes
        if limit is not None:
            left = min(left, max(60 * limit - self.seconds, 0.0))
        figures = {"loss": loss, "metric": self.history[-1].held_out, "left": left}
        self.report(done, total, figures)

    def _save(self) -> None:
        if self.settings.checkpoints is None or not self.task.processes.is_first:
            return
        state = {
            "step": self.step,
            "best_step": self.best_step,
            "seconds": self.seconds,
            "stopped": self.stopped,
            "network": self.network.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state(),
            "watch": self.watch.state(),
            "history": [[e.step, e.loss, e.held_out, e.rate] for e in self.history],
        }
        save_checkpoint(Path(self.settings.checkpoints), self.task.key, state)

    def _resumed(self) -> bool:
        """Go on from a checkpoint, if there is one."""
        if self.settings.checkpoints is None:
            return False
        state = load_checkpoint(Path(self.settings.checkpoints), self.task.key)
        if state is None:
            return False
        self.step, self.best_step = state["step"], state["best_step"]
        self.seconds_before, self.stopped = state["seconds"], state["stopped"]
        self.network.load_state_dict(state["network"])
        self.best = state["best"]
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.restore(state["average"]["steps"], state["average"]["values"])
        self.watch = Watch.of(state["watch"])
        self.history = [Evaluation(*numbers) for numbers in state["history"]]
        return True


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
