"""Several processes that train one model: what `torchrun` starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True)
class Processes:
    """The processes of one training.

    Attributes:
        rank: Number of this one.
        count: How many there are.
        local_rank: Number of this one on its machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and reports."""
        return self.rank == 0


def processes_around() -> Processes:
    """Read from the environment, as `torchrun` sets it, who else trains."""
    return Processes(
        rank=int(os.environ.get("RANK", "0")),
        count=int(os.environ.get("WORLD_SIZE", "1")),
        local_rank=int(os.environ.get("LOCAL_RANK", "0")),
    )


def device_for(wish: str, processes: Processes) -> torch.device:
    """The device of this process: as wished, or for `auto` a GPU where there is one."""
    if wish != "auto":
        return torch.device(wish)
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", processes.local_rank % torch.cuda.device_count())


@contextmanager
def connected(processes: Processes, device: torch.device) -> Iterator[None]:
    """Keep the processes connected, if there are several; NCCL for GPUs, Gloo for CPUs."""
    if processes.count == 1 or distributed.is_initialized():
        yield
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()
