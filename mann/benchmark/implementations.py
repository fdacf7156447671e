"""The implementations that the speed comparison runs on a workload.

reference: the network, one step after the other, nothing compiled
fast:      the network as trainings run it, compiled
lstm:      torch.nn.LSTM of the same width, without a memory
dnc:       the package of that name, of the same sizes, with the DNC's addressing whatever the workload's scheme
floor:     the matrix products and one pass over the memory at each step, and no other operation
"""

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, Protocol
from warnings import catch_warnings, simplefilter

import torch
from torch import Tensor, nn
from torch.nn import functional

from episodes.native import has_compiler
from mann.addressing import DNC
from mann.benchmark.floor import Floor
from mann.benchmark.workloads import Workload
from mann.fast.checked import CheckedUnrolling
from mann.models.baselines.recurrent import BASELINES
from mann.models.controllers import LSTMController
from mann.models.network import MemoryNetwork
from mann.models.unrolling import Unrolling, plain


class LeftOutError(Exception):
    """An implementation cannot be measured; the message gives the reason."""


class Implementation(Protocol):
    """An implementation of a workload, with its inputs and targets."""

    def forward(self) -> object:
        """Run the forward pass without gradients."""
        ...

    def step(self) -> object:
        """Run the forward pass, the backward pass and the update of the weights."""
        ...


class Training:
    """A network that is trained on the same random sequences again and again.

    Args:
        network: Maps inputs [time, batch, input_size] to a tuple that starts with outputs [time, batch, output_size or
            more].
        workload: The sizes.
        device: The device to run on.
    """

    def __init__(self, network: nn.Module, workload: Workload, device: torch.device):
        random = torch.Generator().manual_seed(0)
        sizes = (workload.time, workload.batch)
        self._inputs = torch.rand(*sizes, workload.input_size, generator=random).to(device)
        self._targets = torch.rand(*sizes, workload.output_size, generator=random).to(device)
        self.network = network.to(device)
        self._optimizer = torch.optim.Adam(network.parameters(), 1e-4, fused=True)

    def forward(self) -> Tensor:
        """Return the outputs [time, batch, output_size or more], without gradients."""
        with torch.no_grad():
            return self.network(self._inputs)[0]

    def step(self) -> None:
        """Update the weights once, with the cross-entropy of all outputs at all steps as the loss."""
        outputs = self.network(self._inputs)[0][..., : self._targets.shape[-1]]
        self._optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(outputs, self._targets).backward()
        self._optimizer.step()


def _network(workload: Workload, device: torch.device, unroll: Unrolling) -> Implementation:
    """Return the memory network of a workload with an unrolling over time."""
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
    return Training(network, workload, device)


def _reference(workload: Workload, device: torch.device) -> Implementation:
    """Return the network with the plain unrolling."""
    return _network(workload, device, plain)


def _fast(workload: Workload, device: torch.device) -> Implementation:
    """Return the network with the compiled unrolling.

    Raises:
        LeftOutError: there is no compiler.
    """
    if not has_compiler():
        raise LeftOutError("there is no compiler here, so it would be the reference")
    return _network(workload, device, CheckedUnrolling(required=True))


def _lstm(workload: Workload, device: torch.device) -> Implementation:
    """Return torch's LSTM with a linear output."""
    network = BASELINES["lstm"](workload.input_size, workload.output_size, workload.hidden_size, 1)
    return Training(network, workload, device)


class _PackageDNC(nn.Module):
    """The DNC of the package `dnc`; its outputs are as wide as its inputs."""

    def __init__(self, workload: Workload, device: torch.device):
        super().__init__()
        try:
            with catch_warnings():
                simplefilter("ignore")  # of the package
                package = import_module("dnc")
        except ImportError as error:
            raise LeftOutError("the package is not installed: pip install dnc") from error
        self.dnc = package.DNC(
            workload.input_size,
            workload.hidden_size,
            num_hidden_layers=1,
            nr_cells=workload.slots,
            cell_size=workload.word_size,
            read_heads=workload.scheme.read_heads,
            batch_first=False,
            gpu_id=-1 if device.type == "cpu" else torch.cuda.current_device(),
        )

    def forward(self, inputs: Tensor) -> tuple[Tensor, object]:
        """Return outputs and state, from a blank memory."""
        return self.dnc(inputs, reset_experience=True)


def _package_dnc(workload: Workload, device: torch.device) -> Implementation:
    """Return the DNC of the package `dnc`."""
    return Training(_PackageDNC(workload, device), workload, device)


OURS: Final = ("reference", "fast")
"""The implementations that use the addressing scheme of the workload."""
IMPLEMENTATIONS: Final[Mapping[str, Callable[[Workload, torch.device], Implementation]]] = {
    "reference": _reference,
    "fast": _fast,
    "lstm": _lstm,
    "dnc": _package_dnc,
    "floor": Floor,
}
"""The functions that build the implementations, by name."""


def build_implementation(name: str, workload: Workload, device: torch.device) -> Implementation:
    """Build an implementation by its name, always with the same weights; the global random state does not change.

    Raises:
        LeftOutError: there is no compiler, a package is not installed, or the memory is too small.
    """
    needed, available = _needed_gib(name, workload), _available_gib(device)
    if needed > available:
        raise LeftOutError(
            f"it would save some {needed:,.0f} GiB for the backward pass, and {available:,.0f} GiB are available"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return IMPLEMENTATIONS[name](workload, device)


def _needed_gib(name: str, workload: Workload) -> float:
    """Return about how much an implementation saves for the backward pass: memories, and the links of a DNC."""
    slots = workload.scheme.slots_in_reach(workload.slots, workload.time)
    links = 10 * slots**2 if name == "dnc" or (name in OURS and isinstance(workload.scheme, DNC)) else 0
    memories = 16 * slots * workload.word_size if name in (*OURS, "dnc") else 0
    return 4 * workload.time * workload.batch * (memories + links) / 2**30


def _available_gib(device: torch.device) -> float:
    """Return how much of the device's memory a measurement may use: four fifths."""
    if device.type == "cuda":
        return 0.8 * torch.cuda.mem_get_info(device)[1] / 2**30
    return 0.8 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
