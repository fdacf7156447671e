"""The memory-augmented network: a controller, a memory, and a scheme that addresses it.

    controller      h_t from x_t, the reads r_{t-1} and its own state
    interface       the scheme's controls, one linear map of h_t
    write, read     M_t and r_t, as the scheme decides
    output          one linear map of (h_t, r_t)

Used like `torch.nn.LSTM`: `outputs, state = network(inputs, state)`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from mann.addressing import memory as memories
from mann.addressing.scheme import Controls, Scheme, Write
from mann.models.controllers import ControllerKind
from mann.models.initial_state import InitialState, InitialStateKind
from mann.models.lengths import held, within
from mann.models.unrolling import Tensors, Unrolling, affine, plain
from mann.support.trees import map_leaves


class NetworkState(NamedTuple):
    """The state of a network between two steps.

    Attributes:
        controller: The controller's state.
        memory: [batch, slots, word_size].
        addressing: The scheme's state.
        reads: [batch, read heads * word_size], the last words that were read.
    """

    controller: Any
    memory: Tensor
    addressing: Any
    reads: Tensor


class Access(NamedTuple):
    """One step's access to the memory.

    Attributes:
        controls: By name, [batch, heads, size].
        write: Weights, erase and added words.
        read_weights: [batch, read heads, slots].
        memory: After the write, [batch, slots, word_size].
        addressing: The scheme's state after the step, such as the usage.
        reads: [batch, read heads * word_size].
    """

    controls: Controls
    write: Write
    read_weights: Tensor
    memory: Tensor
    addressing: Any
    reads: Tensor


Tree = TypeVar("Tree")


def on_the_cpu(tree: Tree) -> Tree:
    """Return a tree of tuples, dictionaries and lists with its tensors copied to the CPU."""
    return map_leaves(lambda leaf: leaf.cpu() if isinstance(leaf, Tensor) else leaf, tree)


class MemoryNetwork(nn.Module):
    """A controller with an external memory.

    >>> from mann import LRUA, LSTMController
    >>> network = MemoryNetwork(9, 8, LRUA(read_heads=2), LSTMController, hidden_size=32, slots=16, word_size=6)
    >>> outputs, state = network(torch.zeros(5, 3, 9))
    >>> outputs.shape, state.memory.shape
    (torch.Size([5, 3, 8]), torch.Size([3, 16, 6]))
    >>> outputs, state = network(torch.zeros(5, 3, 9), state)  # continues from the state

    Attributes:
        unroll: `mann.models.unrolling.plain`, or a faster function of the same behaviour.
        gain: Factor on the contribution of the hidden units to each number of the interface, [emitted, 1]; see
            `Control`.

    Args:
        input_size: Width of an input.
        output_size: Width of an output.
        scheme: The addressing scheme.
        controller: Makes the controller from (input_size, read_size, hidden_size).
        hidden_size: Width of the controller.
        slots: Memory locations (N).
        word_size: Numbers in a location (W).
        start: Makes the initial state of memory and heads from (scheme, slots, word_size).
        read_first: Read before the write of the same step instead of after it.
        clip: Largest magnitude of the interface's numbers and of the outputs; None: unlimited.
        batch_first: Inputs and outputs are [batch, time, width] instead of [time, batch, width].
    """

    gain: Tensor

    def __init__(
        self,
        input_size: int,
        output_size: int,
        scheme: Scheme,
        controller: ControllerKind,
        hidden_size: int = 200,
        slots: int = 128,
        word_size: int = 40,
        start: InitialStateKind = InitialState,
        read_first: bool = False,
        clip: float | None = None,
        batch_first: bool = False,
    ):
        super().__init__()
        self.scheme = scheme
        self.slots = slots
        self.word_size = word_size
        self.read_first = read_first
        self.clip = clip
        self.batch_first = batch_first
        read_size = scheme.read_heads * word_size
        self.controller = controller(input_size, read_size, hidden_size)
        self._controls = scheme.controls(word_size, slots)
        emitted = sum(control.heads * control.size for control in self._controls.values())
        self.interface = nn.Linear(hidden_size, emitted)
        self.output = nn.Linear(hidden_size + read_size, output_size)
        for layer in (self.interface, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            scheme.initialise(self._by_control(self.interface.weight), self._by_control(self.interface.bias))
        gain = [torch.full((control.heads * control.size, 1), control.gain) for control in self._controls.values()]
        # Not persistent: it follows from the scheme, and is no part of trained weights.
        self.register_buffer("gain", torch.cat(gain), persistent=False)
        self.start = start(scheme, slots, word_size)
        self.unroll: Unrolling = plain

    def initial_state(self, batch: int, like: Tensor, steps: int | None = None) -> NetworkState:
        """Return the state before the first step, with the dtype and device of `like`.

        steps: Make only the slots that so many steps can reach, where the scheme limits them; None: all slots.
        """
        steps = self.slots if steps is None else steps
        return NetworkState(self.controller.initial_state(batch, like), *self.start(batch, steps, like))

    def forward(
        self, inputs: Tensor, state: NetworkState | None = None, lengths: Sequence[int] | Tensor | None = None
    ) -> tuple[Tensor, NetworkState]:
        """Run through a sequence.

        Args:
            inputs: [time, batch, input_size] ([batch, time, input_size] with `batch_first`), time >= 1.
            state: The state to continue from; None: the initial state.
            lengths: Steps of each sequence, 1 .. time; None: all. The inputs after them have no effect.

        Returns:
            Outputs [time, batch, output_size] (likewise), 0 after the end of a sequence, and the state after the last
            step of each sequence.

        Raises:
            InputError: `lengths` are not those of such a batch.

        >>> from mann import NTM, LSTMController
        >>> network = MemoryNetwork(9, 8, NTM(), LSTMController, hidden_size=16, slots=8, word_size=6)
        >>> batch = torch.randn(5, 2, 9)  # the second sequence ends after three steps
        >>> outputs, state = network(batch, lengths=[5, 3])
        >>> alone, state_alone = network(batch[:3, 1:])
        >>> torch.allclose(outputs[:3, 1:], alone), torch.allclose(state.memory[1:], state_alone.memory)
        (True, True)
        """
        if self.batch_first:
            inputs = inputs.transpose(0, 1)
        time, batch = inputs.shape[:2]
        running = None if lengths is None else within(lengths, time, batch, inputs.device)[..., None]
        if running is not None:
            inputs = inputs.where(running, 0)  # or what is not finite there would reach gradients
        preactivations, before = self._prepared(inputs, state)
        step = self._step
        if running is not None:
            # As a number, which the unrolling hands to each step like the other terms.
            preactivations, step = (*preactivations, running.to(preactivations[0].dtype)), self._held_step
        # Usage and weightings need more digits than autocast would leave them.
        with torch.autocast(inputs.device.type, enabled=False):
            features, after = self.unroll(step, self._weights(), preactivations, before)
        outputs = self._clipped(self.output(features))
        if running is not None:
            outputs = outputs.where(running, 0)
        return (outputs.transpose(0, 1) if self.batch_first else outputs), after

    @torch.no_grad()
    def trace(self, inputs: Tensor, state: NetworkState | None = None) -> tuple[Tensor, NetworkState, Access]:
        """Run through a sequence and return the accesses to the memory as well, for pictures.

        The arguments and the first two results are those of `forward`; the tensors of the `Access` have the time as
        their first dimension.
        """
        if self.batch_first:
            inputs = inputs.transpose(0, 1)
        preactivations, before = self._prepared(inputs, state)
        accesses: list[Access] = []

        def recorded_step(
            weights: Tensors, preactivations: Tensors, state: NetworkState
        ) -> tuple[Tensor, Tensors, NetworkState]:
            features, used, after, access = self._step_and_access(weights, preactivations, state)
            accesses.append(access)
            return features, used, after

        with torch.autocast(inputs.device.type, enabled=False):
            features, after = plain(recorded_step, self._weights(), preactivations, before)
        outputs = self._clipped(self.output(features))
        stacked = map_leaves(lambda *leaves: torch.stack(leaves), *accesses)
        return (outputs.transpose(0, 1) if self.batch_first else outputs), after, stacked

    def _prepared(self, inputs: Tensor, state: NetworkState | None) -> tuple[Tensors, NetworkState]:
        """Return the terms of all steps that need no state, and the state to start from."""
        time, batch = inputs.shape[:2]
        bias = self.interface.bias
        # The products with the inputs do not depend on the step before: one product for all steps, outside the loop.
        terms = self.controller.project(self.unroll.affine, inputs.flatten(0, 1))
        projected = (term.to(bias.dtype).unflatten(0, (time, batch)) for term in terms)
        if state is None:
            state = self.initial_state(batch, bias, time)
        else:
            memory, addressing = self.start.grow(state.memory, state.addressing, time)
            state = state._replace(memory=memory, addressing=addressing)
        return (*projected, bias.expand(time, batch, -1)), state

    def _weights(self) -> Tensors:
        """Return the weights that every step uses again, the interface's last."""
        return *self.controller.weights(), self.interface.weight * self.gain

    def _step(
        self, weights: Tensors, preactivations: Tensors, state: NetworkState
    ) -> tuple[Tensor, Tensors, NetworkState]:
        """One step, see `mann.models.unrolling.Step`; features are [batch, hidden_size + read_size]."""
        return self._step_and_access(weights, preactivations, state)[:3]

    def _held_step(
        self, weights: Tensors, preactivations: Tensors, state: NetworkState
    ) -> tuple[Tensor, Tensors, NetworkState]:
        """One step of the sequences that have not ended; the last of the preactivations is 1 for them, else 0."""
        *own, running = preactivations
        features, used, after = self._step(weights, tuple(own), state)
        return features, used, held(after, state, running)

    def _step_and_access(
        self, weights: Tensors, preactivations: Tensors, state: NetworkState
    ) -> tuple[Tensor, Tensors, NetworkState, Access]:
        """One step, and its access to the memory."""
        hidden, used, controller = self.controller.step(
            weights[:-1], preactivations[:-1], state.controller, state.reads
        )
        emitted = self._clipped(affine(preactivations[-1], hidden, weights[-1]))
        parts = self._by_control(emitted, -1)
        controls = {name: control.range(parts[name]) for name, control in self._controls.items()}
        access = self._access(controls, state)
        return (
            torch.cat([hidden, access.reads], -1),
            (*used, hidden),
            NetworkState(controller, access.memory, access.addressing, access.reads),
            access,
        )

    def _by_control(self, emitted: Tensor, axis: int = 0) -> dict[str, Tensor]:
        """Split one axis of a tensor, `emitted` wide, into a view [..., heads, size, ...] for each control."""
        sizes = [control.heads * control.size for control in self._controls.values()]
        return {
            name: part.unflatten(axis, (control.heads, control.size))
            for (name, control), part in zip(self._controls.items(), emitted.split(sizes, axis), strict=True)
        }

    def _access(self, controls: Controls, state: NetworkState) -> Access:
        """Write and read once."""
        write, addressing = self.scheme.write(controls, state.memory, state.addressing)
        written = memories.write(state.memory, *write)
        memory = state.memory if self.read_first else written
        read_weights, addressing = self.scheme.read(controls, memory, addressing, write)
        reads = memories.read(memory, read_weights).flatten(1)
        return Access(controls, write, read_weights, written, addressing, reads)

    def _clipped(self, values: Tensor) -> Tensor:
        """Return values limited to the largest magnitude."""
        return values if self.clip is None else values.clamp(-self.clip, self.clip)
