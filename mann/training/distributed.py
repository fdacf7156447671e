"""A process group that trains one model, each process on its shard of every batch, started by `torchrun`.

Each process has the whole model. In every step all of them draw the same episodes (episodes depend on seed and step
alone), each runs its shard of the sequences, and gradients, loss and counts are summed over the processes. The update
is then the same in all of them, bit for bit, so weights need not be sent.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import torch
import torch.distributed as distributed
from torch import Tensor

from data import InputError
from mann.support.trees import map_leaves

Batch = TypeVar("Batch")


class LostError(RuntimeError):
    """Another process of the group has ended, or does not answer."""


@dataclass(frozen=True)
class ProcessGroup:
    """Processes that train together; a single process is a group too.

    Attributes:
        rank: The number of this process, from 0.
        size: Number of processes.
        device: The device of this process.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def sequences(self, batch: int) -> slice:
        """Return the sequences of a batch that are this process's shard; shards differ in size by at most one."""
        return slice(batch * self.rank // self.size, batch * (self.rank + 1) // self.size)

    def shard(self, episode: Batch, batch: int) -> Batch:
        """Return this process's shard of an episode of tensors [time, batch, ...]."""
        if self.size == 1:
            return episode
        own = self.sequences(batch)
        return map_leaves(lambda tensor: tensor[:, own], episode)

    def fraction(self, batch: int) -> float:
        """Return the fraction of a batch that is this process's shard."""
        own = self.sequences(batch)
        return (own.stop - own.start) / batch

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one dtype, in place, by their sums over all processes, the same in all of them.

        Raises:
            LostError: another process has ended.
        """
        if self.size == 1:
            return
        # One message for all: there are many tensors, and most are small.
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        try:
            distributed.all_reduce(flat)
        except RuntimeError as error:
            raise LostError("another of the processes that train together has ended") from error
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def sum(self, number: int) -> int:
        """Return the sum of a number over all processes."""
        if self.size == 1:
            return number
        total = torch.tensor(int(number), device=self.device)
        self.all_reduce([total])
        return int(total)

    def barrier(self) -> None:
        """Wait for all processes."""
        self.sum(0)

    def refuse_small(self, batch: int) -> None:
        """Check that every process has a sequence.

        Raises:
            InputError: there are more processes than sequences in a batch.
        """
        if batch < self.size:
            raise InputError(f"`batch` {batch} cannot be shared by {self.size} processes: start fewer of them")


SINGLE_PROCESS: Final = ProcessGroup()


@contextmanager
def joined(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the other processes, if `torchrun` started this one; without an error, all leave together.

    Raises:
        InputError: there are more processes than GPUs.
        LostError: another process has ended.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ProcessGroup(device=device)
        return
    if device.type == "cuda":
        local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= gpus:
            raise InputError(f"there are {gpus} GPUs: let torchrun start no more processes, or use `device=cpu`")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        group = ProcessGroup(distributed.get_rank(), size, device)
        yield group
        group.barrier()  # torchrun ends all processes when one fails: the main process has to be done first
    finally:
        distributed.destroy_process_group()
