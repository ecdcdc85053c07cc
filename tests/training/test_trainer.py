"""The training loop on plain networks: it learns, repeats itself, resumes and shares its work."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from onnxq.config import (
    Constant,
    CrossEntropy,
    Distill,
    Finetune,
    MatchDirections,
    MatchOutputs,
    Plateau,
    Steps,
)
from onnxq.errors import ConfigError, DataError, UsageError
from onnxq.training.distributed import connected, processes_around
from onnxq.training.losses import Losses, Question, divergence
from onnxq.training.samples import Samples, can_stack
from onnxq.training.schedules import Watch, factor, rate_warning
from onnxq.training.student import QuietHook, Student
from onnxq.training.task import Task
from onnxq.training.trainer import train


class Net(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.drop, self.last = nn.Linear(4, 16), nn.Dropout(0.1), nn.Linear(16, 3)

    def forward(self, feed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self.last(self.drop(torch.relu(self.first(feed["x"]))))}


def samples(count: int = 48) -> Samples:
    generator = np.random.default_rng(0)
    feeds = [{"x": generator.normal(size=(1, 4)).astype(np.float32)} for _ in range(count)]
    labels = torch.tensor([int(feed["x"].argmax()) % 3 for feed in feeds])
    return Samples(feeds, labels)


def task(**changes: Any) -> Task:
    seed = changes.pop("net", 0)
    settings = changes.pop("settings", Finetune(rate=1e-2, batch=8, epochs=6, evaluations=6))
    net = Net(seed)
    original = Net(7).eval()
    train_samples, held_out = samples().divided(0.25)
    values: dict[str, Any] = {
        "student": Student(net, dict(net.named_parameters())),
        "original": original,
        "losses": Losses((Distill(),), ["logits"]),
        "train": train_samples,
        "held_out": held_out,
        "settings": settings,
    }
    return Task(**{**values, **changes})


def weights(one: Task) -> list[bytes]:
    return [p.detach().numpy().tobytes() for p in one.student.network.parameters()]


def test_it_learns_from_the_original_without_labels() -> None:
    result = train(task())
    assert result.best < 0.2 * result.start
    assert [e.step for e in result.history] == [0, 4, 8, 12, 16, 20, 24]


def test_it_learns_from_labels() -> None:
    losses = Losses((CrossEntropy(),), ["logits"])
    settings = Finetune(rate=3e-2, batch=8, epochs=30)
    result = train(task(losses=losses, original=None, settings=settings))
    assert result.best < 0.8 * result.start


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_the_same_seed_gives_the_same_weights(optimizer: str) -> None:
    settings = Finetune(rate=1e-2, batch=8, epochs=2, optimizer=optimizer, mix=0.5)
    once, again, other = (task(settings=settings, seed=seed) for seed in (3, 3, 4))
    for one in (once, again, other):
        train(one)
    assert weights(once) == weights(again)
    assert weights(once) != weights(other)


def test_torchs_own_random_numbers_are_left_alone() -> None:
    one = task()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    train(one)
    assert torch.equal(torch.rand(3), expected)


class KilledError(Exception):
    pass


class KilledAt(QuietHook):
    def __init__(self, step: int) -> None:
        self.step = step

    def after_step(self, step: int, total: int) -> None:
        if step == self.step:
            raise KilledError


@pytest.mark.parametrize("average", [None, 0.9])
@pytest.mark.parametrize("killed", [2, 13, 22])
def test_a_killed_training_resumes_to_the_same_weights(
    tmp_path: Path, killed: int, average: float | None
) -> None:
    def made(directory: Path, **student: Any) -> Task:
        settings = Finetune(
            rate=1e-2,
            batch=8,
            epochs=6,
            evaluations=6,
            average=average,
            schedule=Plateau(patience=0),
            checkpoints=str(directory),
        )
        net = Net()
        return task(
            settings=settings, student=Student(net, dict(net.named_parameters()), **student)
        )

    whole = made(tmp_path / "a")
    expected = train(whole)
    with pytest.raises(KilledError):
        train(made(tmp_path / "b", hooks=[KilledAt(killed)]))
    resumed = made(tmp_path / "b")
    found = train(resumed)
    assert weights(resumed) == weights(whole)
    assert repr(found.history) == repr(expected.history)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    settings = Finetune(batch=8, epochs=1, checkpoints=str(tmp_path))
    train(task(settings=settings, key="a"))
    with pytest.raises(DataError, match="another training"):
        train(task(settings=settings, key="b"))


def test_a_broken_checkpoint_is_told(tmp_path: Path) -> None:
    (tmp_path / "training.pt").write_bytes(b"broken")
    settings = Finetune(batch=8, epochs=1, checkpoints=str(tmp_path))
    with pytest.raises(DataError, match="no checkpoint that can be read"):
        train(task(settings=settings))


def test_the_best_weights_are_kept() -> None:
    settings = Finetune(rate=1.0, batch=8, epochs=20, evaluations=40, schedule=Constant())
    settings = settings.model_copy(update={"clip_norm": None})
    one = task(settings=settings)
    result = train(one)
    best = min(e.held_out for e in result.history)
    assert result.best == best
    with torch.no_grad():
        feed = {"x": torch.cat([torch.from_numpy(f["x"]) for f in one.held_out.feeds])}
        assert one.original is not None
        found = one.losses(Question(one.student.network(feed), one.original(feed)))
    assert float(found) == pytest.approx(best, rel=1e-4)


def test_patience_ends_a_training() -> None:
    settings = Finetune(batch=8, epochs=50, evaluations=50, patience=3)
    result = train(task(settings=settings, metric=lambda _: 1.0))
    assert result.stopped == "no improvement in 3 evaluations"
    assert len(result.history) == 4


def test_time_ends_a_training() -> None:
    settings = Finetune(batch=8, epochs=500, minutes=1e-4)
    result = train(task(settings=settings))
    assert "minutes are over" in result.stopped and result.steps < 2000


def test_a_loss_that_is_not_finite_is_told() -> None:
    bad = samples()
    bad.feeds[0]["x"][:] = np.nan
    with pytest.raises(DataError, match="the loss is nan"):
        train(task(train=bad, settings=Finetune(batch=48, epochs=1)))


def test_gradients_are_clipped() -> None:
    settings = Finetune(
        rate=1.0, batch=8, steps=1, optimizer="sgd", clip_norm=1e-3, warmup=0.0, momentum=0.0
    )
    one = task(settings=settings, held_out=samples().part([]))
    before = [p.detach().clone() for p in one.student.network.parameters()]
    train(one)
    moved = torch.cat(
        [
            (p.detach() - b).flatten()
            for p, b in zip(one.student.network.parameters(), before, strict=True)
        ]
    )
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-3)


def test_rates_rise_and_fall() -> None:
    cosine = Finetune(warmup=0.1)
    factors = [factor(cosine, step, 100, 0) for step in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert factors[10] == 1.0 and factors[55] == pytest.approx(0.505) and factors[99] < 0.012
    steps = Finetune(warmup=0.0, schedule=Steps(at=(0.5, 0.9), factor=0.1))
    assert [factor(steps, s, 10, 0) for s in (4, 5, 9)] == pytest.approx([1.0, 0.1, 0.01])


def test_a_plateau_lowers_the_rate_as_in_torch() -> None:
    settings = Finetune(warmup=0.0, schedule=Plateau(patience=1, factor=0.5))
    metrics = [3.0, 2.0, 2.5, 2.4, 2.3, 1.0, 1.1, 1.2, 1.3, 1.4]
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], 1.0)
    expected = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=1, threshold=0.0
    )
    watch = Watch()
    for metric in metrics:
        watch.see(metric, settings)
        expected.step(metric)
        assert factor(settings, 1, 9, watch.falls) == optimizer.param_groups[0]["lr"]


def test_rates_for_training_from_scratch_are_warned_of() -> None:
    assert rate_warning(Finetune()) is None
    warning = rate_warning(Finetune(rate=0.0032))
    assert warning is not None and "107 times" in warning


def test_divergence_is_kullback_leiblers() -> None:
    generator = np.random.default_rng(0)
    a, b = (generator.normal(size=(5, 7)) for _ in range(2))
    p, q = (np.exp(x / 2) / np.exp(x / 2).sum(-1, keepdims=True) for x in (b, a))
    expected = 4 * (p * np.log(p / q)).sum(-1).mean()
    found = divergence(torch.from_numpy(a), torch.from_numpy(b), 2.0)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_losses_are_summed_with_their_weights() -> None:
    found, expected = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    losses = Losses((MatchOutputs(weight=3.0), MatchDirections(weight=0.5)), ["y"])
    value = losses(Question({"y": found}, {"y": expected}))
    assert float(value) == pytest.approx(3.0 * 2.5 / 2.0 + 0.5 * 1.0)


def test_what_losses_lack_is_told() -> None:
    with pytest.raises(ConfigError, match="no float output 'z'"):
        Losses((Distill(output="z"),), ["y"])
    with pytest.raises(UsageError, match="compares with labels"):
        Losses((CrossEntropy(),), ["y"])(Question({"y": torch.zeros(1, 2)}))
    with pytest.raises(ConfigError, match="set `labels`"):
        Finetune(losses=("cross-entropy",))


def test_samples_of_one_shape_share_a_batch() -> None:
    feeds = [{"x": np.full((1, 2 + i % 2), i, np.float32)} for i in range(5)]
    batches = list(Samples(feeds).batches([0, 1, 2, 4], torch.device("cpu")))
    assert [batch.feed["x"][:, 0].tolist() for batch in batches] == [[0.0, 2.0, 4.0], [1.0]]
    assert [batch.share for batch in batches] == [0.75, 0.25]
    alone = Samples(feeds, stacks=False)
    assert len(list(alone.batches([0, 2], torch.device("cpu")))) == 2


def test_stacking_is_tried_before_it_is_trusted() -> None:
    feeds = samples(4).feeds
    cpu = torch.device("cpu")
    assert can_stack(Net().eval(), feeds, cpu)
    assert not can_stack(lambda feed: {"y": feed["x"] - feed["x"].mean(0)}, feeds, cpu)
    assert not can_stack(lambda feed: {"y": feed["x"].reshape(1, 4)}, feeds, cpu)


WORKER = """
import sys, torch
sys.path[:0] = [{tests!r}, {root!r}]
torch.set_num_threads(1)
from test_trainer import distributed_training
distributed_training()
"""


def distributed_training() -> list[Tensor]:
    processes = processes_around()
    net = Net()
    net.drop.p = 0.0
    one = task(
        student=Student(net, dict(net.named_parameters())),
        processes=processes,
        settings=Finetune(rate=1e-2, batch=8, epochs=3, optimizer="sgd", clip_norm=None),
    )
    with connected(processes, torch.device("cpu")):
        train(one)
    return [p.detach() for p in one.student.network.parameters()]


def test_two_processes_come_to_what_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = distributed_training()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    around = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    here = Path(__file__).parent
    script = WORKER.format(tests=str(here), root=str(here.parent.parent))
    second = {**os.environ, **around, "RANK": "1", "LOCAL_RANK": "1", "OMP_NUM_THREADS": "1"}
    for name, value in {**around, "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with subprocess.Popen([sys.executable, "-c", script], env=second) as other:
        together = distributed_training()
        assert other.wait(120) == 0
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
