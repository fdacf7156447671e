"""The memory-augmented network: a controller, a memory, and a scheme that addresses it.

    controller      h_t from x_t, the reads r_{t-1} and its own state
    interface       the scheme's controls, one linear map of h_t
    write, read     M_t and r_t, as the scheme decides
    output          one linear map of (h_t, r_t)

Used like `torch.nn.LSTM`: `outputs, state = network(inputs, state)`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mann import memory as memories
from mann.addressing.interface import Controls, Scheme
from mann.controllers import Controller
from mann.unrolling import plain

INITIAL_MEMORY = 1e-6
"""What every slot holds before the first step: the constant that converges fastest (Collier and Beel 2018)."""


class NetworkState(NamedTuple):
    """Everything that one step hands to the next.

    Attributes:
        controller: The controller's state.
        memory: [batch, slots, word_size].
        addressing: The scheme's state.
        reads: [batch, read heads * word_size], what was read last.
    """

    controller: Any
    memory: Tensor
    addressing: Any
    reads: Tensor


class _PerStep(NamedTuple):
    """Something for each of the two products of a step: the recurrent one and the interface."""

    recurrent: Tensor
    interface: Tensor


class MemoryNetwork(nn.Module):
    """A controller with an external memory.

    Attributes:
        unroll: `mann.unrolling.plain`, or a faster function of the same behaviour.

    Args:
        input_size: Width of an input.
        output_size: Width of an output.
        scheme: How memory is addressed.
        controller: Makes the controller from (input_size, read_size, hidden_size).
        hidden_size: Width of the controller.
        slots: Memory locations (N).
        word_size: Numbers in a location (W).
        read_first: Read before the write of the same step instead of after it.
        batch_first: Inputs and outputs are [batch, time, width] instead of [time, batch, width].
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        scheme: Scheme,
        controller: Callable[[int, int, int], Controller],
        hidden_size: int = 200,
        slots: int = 128,
        word_size: int = 40,
        read_first: bool = False,
        batch_first: bool = False,
    ):
        super().__init__()
        self.scheme = scheme
        self.slots = slots
        self.word_size = word_size
        self.read_first = read_first
        self.batch_first = batch_first
        read_size = scheme.read_heads * word_size
        self.controller = controller(input_size, read_size, hidden_size)
        self._controls = scheme.controls(word_size)
        emitted = sum(control.heads * control.size for control in self._controls.values())
        self.interface = nn.Linear(hidden_size, emitted)
        self.output = nn.Linear(hidden_size + read_size, output_size)
        for layer in (self.interface, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            scheme.initialise(self._by_control(self.interface.weight), self._by_control(self.interface.bias))
        self.unroll = plain

    def initial_state(self, batch: int, like: Tensor) -> NetworkState:
        """Return the state before the first step, with the dtype and device of `like`."""
        return NetworkState(
            self.controller.initial_state(batch, like),
            like.new_full((batch, self.slots, self.word_size), INITIAL_MEMORY),
            self.scheme.initial_state(batch, self.slots, like),
            like.new_zeros(batch, self.scheme.read_heads * self.word_size),
        )

    def forward(self, inputs: Tensor, state: NetworkState | None = None) -> tuple[Tensor, NetworkState]:
        """Run through a sequence.

        Args:
            inputs: [time, batch, input_size] ([batch, time, input_size] with `batch_first`), time >= 1.
            state: Where to go on from; None: the initial state.

        Returns:
            Outputs [time, batch, output_size] (likewise), and the state after the last step.
        """
        if self.batch_first:
            inputs = inputs.transpose(0, 1)
        time, batch = inputs.shape[:2]
        # The shares of all steps that need no state, each in one product.
        preactivations = _PerStep(self.controller.project(inputs), self.interface.bias.expand(time, batch, -1))
        before = state if state is not None else self.initial_state(batch, preactivations.recurrent)
        weights = _PerStep(self.controller.recurrent, self.interface.weight)
        features, after = self.unroll(self._step, weights, preactivations, before)
        outputs = self.output(features)
        return (outputs.transpose(0, 1) if self.batch_first else outputs), after

    def _step(
        self, weights: _PerStep, preactivations: _PerStep, state: NetworkState
    ) -> tuple[Tensor, _PerStep, NetworkState]:
        """One step, as `mann.unrolling` asks for it; features are [batch, hidden_size + read_size]."""
        recurrent_input = self.controller.recurrent_input(state.controller, state.reads)
        hidden, controller = self.controller.step(
            torch.addmm(preactivations.recurrent, recurrent_input, weights.recurrent.T),
            state.controller,
        )
        emitted = torch.addmm(preactivations.interface, hidden, weights.interface.T)
        controls = self._split(emitted)
        memory, addressing, reads = self._access(controls, state.memory, state.addressing)
        return (
            torch.cat([hidden, reads], -1),
            _PerStep(recurrent_input, hidden),
            NetworkState(controller, memory, addressing, reads),
        )

    def _split(self, emitted: Tensor) -> Controls:
        """Cut what the controller emits, [batch, emitted], into the scheme's controls, each in its range."""
        parts = self._by_control(emitted, -1)
        return {name: control.range(parts[name]) for name, control in self._controls.items()}

    def _by_control(self, emitted: Tensor, axis: int = 0) -> dict[str, Tensor]:
        """Cut one axis of a tensor, `emitted` wide, into a view [..., heads, size, ...] for each control."""
        sizes = [control.heads * control.size for control in self._controls.values()]
        return {
            name: part.unflatten(axis, (control.heads, control.size))
            for (name, control), part in zip(self._controls.items(), emitted.split(sizes, axis), strict=True)
        }

    def _access(self, controls: Controls, memory: Tensor, addressing: Any) -> tuple[Tensor, Any, Tensor]:
        """Write and read once; returns the new memory, the scheme's new state, and the reads side by side."""
        write = self.scheme.write(controls, memory, addressing)
        written = memories.write(memory, *write)
        seen = memory if self.read_first else written
        read_weights = self.scheme.read(controls, seen, addressing, write)
        reads = memories.read(seen, read_weights).flatten(1)
        return written, self.scheme.advance(controls, addressing, write, read_weights), reads
