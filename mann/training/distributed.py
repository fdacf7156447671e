"""Processes that train one network together, each on its part of every batch, started by `torchrun`.

Each process has the whole network. A step draws the same episodes in all of them (episodes depend on seed and step
alone), each process runs its part of the sequences, and gradients, loss and counts are added up; what follows is the
same everywhere, bit for bit. So the weights need not be sent, and everything but the sum is as in a process alone.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as distributed
from torch import Tensor
from torch.utils import _pytree as pytree

from data import InputError

Batch = TypeVar("Batch")


class LostError(RuntimeError):
    """Another process of the team has ended, or does not answer."""


@dataclass(frozen=True)
class Team:
    """Processes that train together; one is a team too.

    Attributes:
        rank: Which of them this is, from 0.
        size: How many.
        device: Where this one trains.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def sequences(self, batch: int) -> slice:
        """Return which sequences of a batch are this process's; parts differ in size by at most one."""
        return slice(batch * self.rank // self.size, batch * (self.rank + 1) // self.size)

    def part(self, episode: Batch, batch: int) -> Batch:
        """Return this process's part of an episode of tensors [time, batch, ...]."""
        if self.size == 1:
            return episode
        own = self.sequences(batch)
        return pytree.tree_map(lambda tensor: tensor[:, own], episode)

    def share(self, batch: int) -> float:
        """Return how much of a batch is this process's."""
        own = self.sequences(batch)
        return (own.stop - own.start) / batch

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type, in place, by their sums over all processes, the same in all of them.

        Raises:
            LostError: another process has ended.
        """
        if self.size == 1:
            return
        # All in one message: there are many, and most are small.
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        try:
            distributed.all_reduce(flat)
        except RuntimeError as error:
            raise LostError("another of the processes that train together has ended") from error
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def count(self, here: int) -> int:
        """Return the sum of a number over all processes."""
        if self.size == 1:
            return here
        number = torch.tensor(int(here), device=self.device)
        self.add_up([number])
        return int(number)

    def wait(self) -> None:
        """Go on once all processes are here."""
        self.count(0)

    def refuse_small(self, batch: int) -> None:
        """Check that there is something to do for each process.

        Raises:
            InputError: there are more processes than sequences in a batch.
        """
        if batch < self.size:
            raise InputError(f"--batch {batch} cannot be shared out among {self.size} processes: start fewer of them")


ALONE = Team()


@contextmanager
def joined(device: torch.device) -> Iterator[Team]:
    """Join the other processes, where `torchrun` has started this one; without an error, all leave together.

    Raises:
        InputError: there are more processes than GPUs.
        LostError: another process has ended.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(device=device)
        return
    if device.type == "cuda":
        local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= gpus:
            raise InputError(f"there are {gpus} GPUs here: start no more processes (--nproc-per-node), or --device cpu")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        team = Team(distributed.get_rank(), size, device)
        yield team
        team.wait()  # torchrun ends all when one ends badly: the first has to be done
    finally:
        distributed.destroy_process_group()
