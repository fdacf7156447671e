"""The matrix products of a workload and one pass over the memory at each step, as a lower bound of its time."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from mann.benchmark.workloads import Workload

Product = partial[Tensor]
"""Computes a matrix product."""


class Products(NamedTuple):
    """The matrix products of a training step.

    Attributes:
        forward_each: Computed at each time step of the forward pass, in this order.
        forward_once: Computed once for all time steps.
        backward_each: Computed at each time step of the backward pass.
        backward_once: Computed once, for the gradients of the weights and of the inputs of all steps.
    """

    forward_each: tuple[Product, ...]
    forward_once: tuple[Product, ...]
    backward_each: tuple[Product, ...]
    backward_once: tuple[Product, ...]


class Floor:
    """The matrix products of a workload and one pass over the memory at each step, without any other operation.

    Each product is computed as often as in the network, and with the same sizes. The products that do not depend on the
    step before (those of the inputs, of the outputs and of the gradients of the weights) are one product for all steps.
    The operands are random numbers.

    Args:
        workload: The sizes.
        device: The device of the operands.
    """

    def __init__(self, workload: Workload, device: torch.device):
        self._time = workload.time
        self.products = matrix_products(workload, device)

    def forward(self) -> None:
        """Compute the products of a forward pass."""
        self._run(self.products.forward_each, self.products.forward_once)

    def step(self) -> None:
        """Compute the products of a forward and a backward pass."""
        self.forward()
        self._run(self.products.backward_each, self.products.backward_once)

    def _run(self, each: tuple[Product, ...], once: tuple[Product, ...]) -> None:
        """Compute products at each time step, and others once."""
        for product in (*each * self._time, *once):
            product()


def matrix_products(workload: Workload, device: torch.device) -> Products:
    """Return the matrix products of a workload, with random operands."""
    controls = workload.scheme.controls(workload.word_size, workload.slots)
    interface = sum(control.heads * control.size for control in controls.values())
    keys = sum(control.heads for name, control in controls.items() if name.endswith("key"))
    # A scheme without vectors of its own to add writes its keys.
    writes = sum(control.heads for name, control in controls.items() if name == "add") or keys
    reads, hidden, gates = workload.scheme.read_heads, workload.hidden_size, 4 * workload.hidden_size
    batch, slots, word = workload.batch, workload.slots, workload.word_size
    features = (
        hidden + reads * word
    )  # the controller's output and the words read: fed back, and the input of the output
    random = torch.Generator().manual_seed(0)

    def numbers(*size: int) -> Tensor:
        return torch.rand(size, generator=random).to(device)

    def at_all_steps(width: int) -> Tensor:
        return numbers(workload.time * batch, width)

    memory, memory_gradient = numbers(batch, slots, word), numbers(batch, slots, word)
    added, write_weights = numbers(batch, writes, word), numbers(batch, writes, slots)
    read_gradient, read_weights = numbers(batch, reads, word), numbers(batch, reads, slots)
    key, similarity_gradient = numbers(batch, keys, word), numbers(batch, keys, slots)
    # Reads and comparisons with keys both contribute to the gradient of the memory: one product for both.
    accessed, access_weights = numbers(batch, reads + keys, word), numbers(batch, reads + keys, slots)
    input_weight, recurrent_weight = numbers(gates, workload.input_size), numbers(gates, features)
    interface_weight, output_weight = numbers(interface, hidden), numbers(workload.output_size, features)
    all_inputs, all_recurrent, all_features = map(at_all_steps, (workload.input_size, features, features))
    gate_gradients, interface_gradients, output_gradients = map(at_all_steps, (gates, interface, workload.output_size))
    all_hidden = at_all_steps(hidden)
    return Products(
        forward_each=(
            _product(numbers(batch, features), recurrent_weight.T),
            _product(numbers(batch, hidden), interface_weight.T),
            # beta keeps the memory finite, however often the product is computed.
            partial(memory.baddbmm_, write_weights.mT, added, beta=0.5),
            _product(key, memory.mT),
            _product(read_weights, memory),
        ),
        forward_once=(_product(all_inputs, input_weight.T), _product(all_features, output_weight.T)),
        backward_each=(
            _product(read_gradient, memory.mT),
            _product(similarity_gradient, memory),
            partial(memory_gradient.baddbmm_, access_weights.mT, accessed, beta=0.5),
            _product(added, memory_gradient.mT),
            _product(write_weights, memory_gradient),
            _product(numbers(batch, interface), interface_weight),
            _product(numbers(batch, gates), recurrent_weight),
        ),
        backward_once=(
            _product(output_gradients, output_weight),
            _product(output_gradients.T, all_features),
            _product(gate_gradients.T, all_recurrent),
            _product(interface_gradients.T, all_hidden),
            _product(gate_gradients.T, all_inputs),
        ),
    )


def _product(left: Tensor, right: Tensor) -> Product:
    """Return a function that multiplies two tensors, into the same result each time."""
    return partial(torch.matmul, left, right, out=left @ right)
