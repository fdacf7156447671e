"""What takes part in the comparison of speed, and on what: workloads and contestants.

reference: the network, one step after the other, nothing compiled
fast:      the network as trainings run it
lstm:      torch.nn.LSTM of the same width, without a memory
dnc:       the package of that name, of the same sizes; it addresses by its own rules, whatever the workload's scheme
floor:     the matrix products and one pass over memory at each step, and nothing else
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Any, Protocol
from warnings import catch_warnings, simplefilter

import torch
from torch import Tensor, nn
from torch.nn import functional

from mann.addressing import DNC, LRUA, NTM
from mann.addressing.scheme import Scheme
from mann.fast.through_time import Unrolling, fast, plain
from mann.models.baselines.recurrent import BASELINES
from mann.models.controllers import LSTMController
from mann.models.network import MemoryNetwork


@dataclass(frozen=True)
class Workload:
    """A network and its inputs, [time, batch, input_size]; the controller is an LSTM.

    Attributes:
        about: What it is, for people.
    """

    about: str
    time: int
    batch: int
    input_size: int
    output_size: int
    hidden_size: int
    slots: int
    word_size: int
    scheme: Scheme

    def described(self) -> str:
        """Say the sizes."""
        heads = {name: getattr(self.scheme, name, None) for name in ("read_heads", "write_heads")}
        counted = [f"{count} {name.replace('_', ' ')}" for name, count in heads.items() if isinstance(count, int)]
        return (
            f"{self.about}: batch {self.batch}, {self.time} steps, {self.input_size} inputs, {self.output_size} "
            f"outputs, LSTM {self.hidden_size}, memory {self.slots} x {self.word_size}, "
            f"{type(self.scheme).__name__} with {', '.join(counted)}."
        )


ONE_SHOT = Workload("one-shot classification", 50, 16, 405, 5, 200, 128, 40, LRUA(read_heads=4))
_COPY = Workload("copy, length 20", 41, 1, 9, 8, 100, 128, 20, NTM(read_heads=1, write_heads=1))
_STRINGS = replace(ONE_SHOT, about="15 classes named by strings", time=150, input_size=425, output_size=25)

WORKLOADS: Mapping[str, Workload] = MappingProxyType(
    {
        "w1": ONE_SHOT,
        "w1-64": replace(ONE_SHOT, batch=64),
        "w1-256": replace(ONE_SHOT, batch=256),
        "w2-1": _COPY,
        "w2-32": replace(_COPY, batch=32),
        "w3": _STRINGS,
        "w3-64": replace(_STRINGS, batch=64),
    }
)


def quick(workload: Workload) -> Workload:
    """Return a workload so small that it shows that everything runs, and nothing else."""
    return replace(workload, time=10, batch=min(2, workload.batch), hidden_size=16, slots=8, word_size=4)


class LeftOutError(Exception):
    """A contestant cannot take part; says why."""


class Contestant(Protocol):
    """What is measured."""

    def forward(self) -> object:
        """Run through the sequences without gradients."""
        ...

    def step(self) -> object:
        """Run forward and backward, and update."""
        ...


class Trained:
    """A network that is trained on the same random sequences again and again.

    Args:
        network: [time, batch, input_size] -> outputs [time, batch, output_size or more], and anything.
        workload: The sizes.
        device: Where.
    """

    def __init__(self, network: nn.Module, workload: Workload, device: torch.device):
        random = torch.Generator().manual_seed(0)
        sizes = (workload.time, workload.batch)
        self._inputs = torch.rand(*sizes, workload.input_size, generator=random).to(device)
        self._targets = torch.rand(*sizes, workload.output_size, generator=random).to(device)
        self._network = network.to(device)
        self._optimizer = torch.optim.Adam(network.parameters(), 1e-4, fused=True)

    def forward(self) -> Tensor:
        """Return the outputs."""
        with torch.no_grad():
            return self._network(self._inputs)[0]

    def step(self) -> None:
        """Make the outputs a little more like the targets."""
        outputs = self._network(self._inputs)[0][..., : self._targets.shape[-1]]
        self._optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(outputs, self._targets).backward()
        self._optimizer.step()


Product = Callable[[], object]


class Floor:
    """The products of matrices of a workload, and one pass over memory at each step: what has to be done anyhow.

    Each product is done as often and in the same sizes. Those that need not wait for the step before (the inputs', the
    outputs', those of the weights' gradients) are one product for all steps. What the numbers are means nothing.
    """

    def __init__(self, workload: Workload, device: torch.device):
        controls = workload.scheme.controls(workload.word_size)
        emitted = sum(control.heads * control.size for control in controls.values())
        keys = sum(control.heads for name, control in controls.items() if name.endswith("key"))
        # Where there is nothing else to write, what is written are the keys.
        writes = sum(control.heads for name, control in controls.items() if name == "add") or keys
        reads, hidden, gates = workload.scheme.read_heads, workload.hidden_size, 4 * workload.hidden_size
        batch, slots, word, back = (
            workload.batch,
            workload.slots,
            workload.word_size,
            hidden + reads * workload.word_size,
        )
        random = torch.Generator().manual_seed(0)

        def numbers(*size: int) -> Tensor:
            return torch.rand(size, generator=random).to(device)

        def at_all_steps(width: int) -> Tensor:
            return numbers(workload.time * batch, width)

        memory, memory_gradient = numbers(batch, slots, word), numbers(batch, slots, word)
        written, writing = numbers(batch, writes, word), numbers(batch, writes, slots)
        read, reading = numbers(batch, reads, word), numbers(batch, reads, slots)
        key, likeness = numbers(batch, keys, word), numbers(batch, keys, slots)
        # The gradient of what is read and that of what keys are compared with are one product.
        looked, looking = numbers(batch, reads + keys, word), numbers(batch, reads + keys, slots)
        from_input, from_back = numbers(gates, workload.input_size), numbers(gates, back)
        to_controls, to_output = numbers(emitted, hidden), numbers(workload.output_size, back)
        inputs, backs, features = map(at_all_steps, (workload.input_size, back, back))
        gate_gradients, control_gradients, output_gradients = map(at_all_steps, (gates, emitted, workload.output_size))
        hiddens = at_all_steps(hidden)
        self._time = workload.time
        self._forward_each = [
            _product(numbers(batch, back), from_back.T),
            _product(numbers(batch, hidden), to_controls.T),
            partial(memory.baddbmm_, writing.mT, written, beta=0.5),
            _product(key, memory.mT),
            _product(reading, memory),
        ]
        self._forward_all = [_product(inputs, from_input.T), _product(features, to_output.T)]
        self._backward_each = [
            _product(read, memory.mT),
            _product(likeness, memory),
            partial(memory_gradient.baddbmm_, looking.mT, looked, beta=0.5),
            _product(written, memory_gradient.mT),
            _product(writing, memory_gradient),
            _product(numbers(batch, emitted), to_controls),
            _product(numbers(batch, gates), from_back),
        ]
        self._backward_all = [
            _product(output_gradients, to_output),
            _product(output_gradients.T, features),
            _product(gate_gradients.T, backs),
            _product(control_gradients.T, hiddens),
            _product(gate_gradients.T, inputs),
        ]

    def forward(self) -> None:
        """Multiply as in a run through the sequences."""
        self._run(self._forward_each, self._forward_all)

    def step(self) -> None:
        """Multiply as in such a run, and for the gradients."""
        self.forward()
        self._run(self._backward_each, self._backward_all)

    def _run(self, each: list[Product], once: list[Product]) -> None:
        """Do some products at each step, and others once."""
        for product in (*each * self._time, *once):
            product()


def _product(left: Tensor, right: Tensor) -> Product:
    """Return what multiplies two tensors, to the same place each time."""
    return partial(torch.matmul, left, right, out=left @ right)


def _network(workload: Workload, device: torch.device, unroll: Unrolling) -> Contestant:
    """Return our network with a way of running through time."""
    network = MemoryNetwork(
        workload.input_size,
        workload.output_size,
        workload.scheme,
        LSTMController,
        workload.hidden_size,
        workload.slots,
        workload.word_size,
    )
    network.unroll = unroll
    return Trained(network, workload, device)


def _reference(workload: Workload, device: torch.device) -> Contestant:
    """Return the network as its definition says."""
    return _network(workload, device, plain)


def _fast(workload: Workload, device: torch.device) -> Contestant:
    """Return the network as trainings run it."""
    with catch_warnings():
        simplefilter("ignore")  # what it says, we say
        unroll = fast()
    if unroll is plain:
        raise LeftOutError("there is no compiler here, so it would be the reference")
    return _network(workload, device, unroll)


def _lstm(workload: Workload, device: torch.device) -> Contestant:
    """Return torch's LSTM and a linear output."""
    network = BASELINES["lstm"](workload.input_size, workload.output_size, workload.hidden_size, 1)
    return Trained(network, workload, device)


class _Peer(nn.Module):
    """The DNC of the package of that name; its outputs are as wide as its inputs."""

    def __init__(self, workload: Workload, device: torch.device):
        super().__init__()
        try:
            with catch_warnings():
                simplefilter("ignore")  # of code that is not ours
                package = import_module("dnc")
        except ImportError as error:
            raise LeftOutError("the package is not installed: pip install dnc") from error
        self._network = package.DNC(
            workload.input_size,
            workload.hidden_size,
            num_hidden_layers=1,
            nr_cells=workload.slots,
            cell_size=workload.word_size,
            read_heads=workload.scheme.read_heads,
            batch_first=False,
            gpu_id=-1 if device.type == "cpu" else torch.cuda.current_device(),
        )

    def forward(self, inputs: Tensor) -> Any:
        """Return outputs and state, from a blank memory."""
        return self._network(inputs, reset_experience=True)


def _peer(workload: Workload, device: torch.device) -> Contestant:
    """Return the package's network."""
    return Trained(_Peer(workload, device), workload, device)


OURS = ("reference", "fast")
"""The contestants whose memory is addressed by the workload's scheme."""
CONTESTANTS: Mapping[str, Callable[[Workload, torch.device], Contestant]] = MappingProxyType(
    {"reference": _reference, "fast": _fast, "lstm": _lstm, "dnc": _peer, "floor": Floor}
)
"""By name, what makes them."""


def entered(name: str, workload: Workload, device: torch.device) -> Contestant:
    """Return a contestant, its weights always the same; the global random state is left alone.

    Raises:
        LeftOutError: it cannot take part.
    """
    needed, room = _needed_gib(name, workload), _room_gib(device)
    if needed > room:
        raise LeftOutError(f"it would keep some {needed:,.0f} GiB for the gradients, and there is room for {room:,.0f}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return CONTESTANTS[name](workload, device)


def _needed_gib(name: str, workload: Workload) -> float:
    """Return about how much the steps of a contestant keep for the gradients: memories, and a DNC's links."""
    slots = workload.scheme.slots_in_reach(workload.slots, workload.time)
    links = 10 * slots**2 if name == "dnc" or (name in OURS and isinstance(workload.scheme, DNC)) else 0
    memories = 16 * slots * workload.word_size if name in (*OURS, "dnc") else 0
    return 4 * workload.time * workload.batch * (memories + links) / 2**30


def _room_gib(device: torch.device) -> float:
    """Return how much of the memory may be taken."""
    if device.type == "cuda":
        return 0.8 * torch.cuda.mem_get_info(device)[1] / 2**30
    return 0.8 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
