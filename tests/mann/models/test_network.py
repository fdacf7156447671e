"""The memory network: against a float64 forward pass in NumPy, and used like torch.nn.LSTM."""

from functools import partial
from typing import Any, Literal

import numpy
import pytest
import torch
from torch import Tensor

from mann.addressing import LRUA, NTM, Controls, Write
from mann.addressing.lrua import least_used_slots
from mann.models.controllers import CONTROLLERS, GRUController, LSTMController
from mann.models.initial_state import CONSTANT, InitialState
from mann.models.network import MemoryNetwork, NetworkState
from mann.support.trees import leaves_of, map_leaves
from tests.mann.addressing import oracles

INPUTS, OUTPUTS, HIDDEN, SLOTS, WORD = 3, 2, 4, 5, 3
TIME, BATCH = 6, 2

PAPER = LRUA(read_heads=2)
TRAINED = LRUA(read_heads=2, key_strength=2.0, write_vector="add", least_used="own")
CASES = [
    pytest.param(scheme, controller, read_first, id=f"{name}, {controller}, read_first={read_first}")
    for name, scheme in (("paper", PAPER), ("trained", TRAINED))
    for controller in CONTROLLERS
    for read_first in (False, True)
]


def build(scheme: LRUA = TRAINED, controller: str = "lstm", **options: Any) -> MemoryNetwork:
    """Return a small float64 network with weights of some size, biases too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MemoryNetwork(
            INPUTS, OUTPUTS, scheme, CONTROLLERS[controller], HIDDEN, SLOTS, WORD, **options
        ).double()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.5)
    return network


def sequence(time: int = TIME) -> Tensor:
    """Return inputs [time, batch, width], float64."""
    return torch.randn(time, BATCH, INPUTS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def sigmoid(values: Any) -> Any:
    """1 / (1 + e^-x)."""
    return 1 / (1 + numpy.exp(-values))


def numpy_forward(network: MemoryNetwork, inputs: Tensor) -> tuple[numpy.ndarray, dict[str, numpy.ndarray]]:
    """Run one sequence after the other, step by step, from the weights and options alone."""
    w = {name: value.detach().numpy() for name, value in network.named_parameters()}
    scheme = network.scheme
    assert isinstance(scheme, LRUA)
    heads, add, kind = scheme.read_heads, scheme.write_vector == "add", type(network.controller)
    outputs = numpy.zeros((len(inputs), BATCH, OUTPUTS))
    last: dict[str, list[numpy.ndarray]] = {"memory": [], "reads": [], "usage": []}
    for b in range(BATCH):
        h, c, reads = numpy.zeros(HIDDEN), numpy.zeros(HIDDEN), numpy.zeros(heads * WORD)
        memory, usage = numpy.full((SLOTS, WORD), 1e-6), numpy.zeros(SLOTS)
        read_weights = numpy.zeros((heads, SLOTS))
        for t in range(len(inputs)):
            sums = w["controller.input.weight"] @ inputs[t, b].numpy() + w["controller.input.bias"]
            if kind is LSTMController:
                sums = sums + w["controller.recurrent"] @ numpy.concatenate([h, reads])
                i, f, g, o = numpy.split(sums, 4)
                c = sigmoid(f) * c + sigmoid(i) * numpy.tanh(g)
                h = sigmoid(o) * numpy.tanh(c)
            elif kind is GRUController:
                external = numpy.split(sums + w["controller.read"] @ reads, 3)
                recurrent = numpy.split(w["controller.recurrent"] @ h + w["controller.recurrent_bias"], 3)
                r, z = sigmoid(external[0] + recurrent[0]), sigmoid(external[1] + recurrent[1])
                h = (1 - z) * numpy.tanh(external[2] + r * recurrent[2]) + z * h
            else:
                h = numpy.maximum(sums + w["controller.recurrent"] @ reads, 0)
            emitted = w["interface.weight"] @ h + w["interface.bias"]
            keys = numpy.tanh(emitted[: heads * WORD]).reshape(heads, WORD)
            emitted = emitted[heads * WORD :]
            gates, emitted = sigmoid(emitted[:heads]), emitted[heads:]
            strengths, words = numpy.ones(heads), keys
            if scheme.key_strength:
                strengths = 1 + scheme.key_strength * numpy.log1p(numpy.exp(emitted[:heads]))
                emitted = emitted[heads:]
            if add:
                words = numpy.tanh(emitted).reshape(heads, WORD)
            controls = {"key": keys, "gate": gates[:, None], "strength": strengths[:, None], "add": words}
            state = {"read_weights": read_weights, "usage": usage}
            after = oracles.lrua_step(scheme, controls, memory, state, network.read_first)
            reads = oracles.read(memory if network.read_first else after["memory"], after["read"]).ravel()
            memory, read_weights, usage = after["memory"], after["read"], after["usage"]
            outputs[t, b] = w["output.weight"] @ numpy.concatenate([h, reads]) + w["output.bias"]
        for name, value in (("memory", memory), ("reads", reads), ("usage", usage)):
            last[name].append(value)
    return outputs, {name: numpy.stack(values) for name, values in last.items()}


@pytest.mark.parametrize(("scheme", "controller", "read_first"), CASES)
def test_a_forward_pass_matches_numpy(scheme: LRUA, controller: str, read_first: bool) -> None:
    network = build(scheme, controller, read_first=read_first)
    outputs, state = network(sequence())
    expected, last = numpy_forward(network, sequence())
    numpy.testing.assert_allclose(outputs.detach().numpy(), expected, atol=1e-10)
    numpy.testing.assert_allclose(state.memory.detach().numpy(), last["memory"], atol=1e-10)
    numpy.testing.assert_allclose(state.reads.detach().numpy(), last["reads"], atol=1e-10)
    numpy.testing.assert_allclose(state.addressing.usage.numpy(), last["usage"], atol=1e-10)


def test_reading_before_the_write_differs_from_reading_after_it() -> None:
    before, after = (build(read_first=read_first)(sequence())[0] for read_first in (True, False))
    assert (before - after).abs().max() > 1e-3


def leaves(state: NetworkState) -> list[Tensor]:
    """Return all tensors of a state."""
    return leaves_of(state)


@pytest.mark.parametrize(("scheme", "controller", "read_first"), CASES)
def test_one_long_sequence_equals_its_steps_with_the_state_handed_on(
    scheme: LRUA, controller: str, read_first: bool
) -> None:
    network = build(scheme, controller, read_first=read_first)
    whole, last = network(sequence())
    state, parts = None, []
    for step in sequence().split([1, 2, 1, 1, 1]):
        part, state = network(step, state)
        parts.append(part)
    assert state is not None
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-12, rtol=0)
    for one, other in zip(leaves(state), leaves(last), strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_batch_first_is_the_same_with_time_and_batch_swapped() -> None:
    outputs, state = build()(sequence())
    swapped, other = build(batch_first=True)(sequence().transpose(0, 1))
    assert swapped.shape == (BATCH, TIME, OUTPUTS)
    torch.testing.assert_close(swapped.transpose(0, 1), outputs)
    assert other.memory.shape == (BATCH, SLOTS, WORD)
    torch.testing.assert_close(other.memory, state.memory)


def test_sequences_of_a_batch_do_not_see_each_other() -> None:
    network, inputs = build(), sequence()
    changed = inputs.clone()
    changed[:, 0] += 1
    one, other = network(inputs)[0], network(changed)[0]
    torch.testing.assert_close(one[:, 1], other[:, 1], atol=1e-14, rtol=0)
    assert (one[:, 0] - other[:, 0]).abs().max() > 1e-3


def test_outputs_do_not_see_later_inputs_and_see_all_earlier_ones() -> None:
    network, inputs = build(), sequence().requires_grad_()
    outputs, _ = network(inputs)
    (gradient,) = torch.autograd.grad(outputs[3].square().sum(), inputs)
    assert not gradient[4:].any()
    assert (gradient[:4].abs().sum((1, 2)) > 0).all()


def test_a_state_is_not_changed_by_running_from_it_and_is_not_kept() -> None:
    network = build()
    _, state = network(sequence(2))
    before = map_leaves(lambda tensor: tensor.detach().clone(), state)
    buffers = {name: value.clone() for name, value in network.state_dict().items()}
    first, _ = network(sequence(), state)
    second, _ = network(sequence(), state)
    assert torch.equal(first, second)
    for one, other in zip(leaves(state), leaves(before), strict=True):
        assert torch.equal(one, other)
    assert all(torch.equal(value, buffers[name]) for name, value in network.state_dict().items())
    assert not torch.equal(network(sequence())[0], first)


def test_a_saved_network_gives_the_same_outputs_after_loading() -> None:
    network, other = build(), MemoryNetwork(INPUTS, OUTPUTS, TRAINED, CONTROLLERS["lstm"], HIDDEN, SLOTS, WORD).double()
    assert not torch.equal(other(sequence())[0], network(sequence())[0])
    assert set(network.state_dict()) == {name for name, _ in network.named_parameters()}
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(sequence())[0], network(sequence())[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_first_state_is_a_nearly_blank_memory_of_the_inputs_dtype(dtype: torch.dtype) -> None:
    network = build().to(dtype)
    state = network.initial_state(3, torch.zeros(1, dtype=dtype))
    assert state.memory.shape == (3, SLOTS, WORD)
    assert (state.memory == torch.tensor(CONSTANT, dtype=dtype)).all()
    assert state.reads.shape == (3, 2 * WORD) and not state.reads.any()
    outputs, after = network(sequence().to(dtype))
    assert outputs.dtype == dtype
    assert {leaf.dtype for leaf in leaves(after)} == {dtype}
    torch.testing.assert_close(
        outputs, network(sequence().to(dtype), network.initial_state(BATCH, outputs))[0], rtol=0, atol=0
    )


@pytest.mark.parametrize(
    ("controller", "read_first", "options"),
    [
        ("lstm", False, {"key_strength": 2.0, "write_vector": "add", "least_used": "own"}),
        ("lstm", True, {}),
        ("feedforward", False, {"write_heads": "one", "zeroed": "all"}),
    ],
)
def test_derivatives_match_finite_differences(controller: str, read_first: bool, options: dict[str, Any]) -> None:
    scheme = LRUA(read_heads=2, **options)
    network = build(scheme, controller, read_first=read_first)
    names, values = zip(*network.named_parameters(), strict=True)
    inputs = sequence(3).requires_grad_()
    _, state = network(sequence(2))
    # A cosine is too curved for finite differences near a blank memory.
    generator = torch.Generator().manual_seed(2)
    memory = torch.randn(state.memory.shape, generator=generator, dtype=torch.float64).requires_grad_()
    state = map_leaves(torch.detach, state)

    def run(inputs: Tensor, memory: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        outputs, after = torch.func.functional_call(
            network, dict(zip(names, parameters, strict=True)), (inputs, state._replace(memory=memory))
        )
        return outputs, after.memory

    assert torch.autograd.gradcheck(run, (inputs, memory, *values), fast_mode=True)


@pytest.mark.parametrize("controller", list(CONTROLLERS))
@pytest.mark.parametrize("slots", [1, 2])
def test_the_smallest_networks_run_with_finite_gradients(controller: str, slots: int) -> None:
    network = MemoryNetwork(1, 1, LRUA(read_heads=3), CONTROLLERS[controller], 1, slots, 1)
    outputs, _ = network(torch.zeros(4, 1, 1))
    outputs.sum().backward()
    assert torch.isfinite(outputs).all()
    for parameter in network.parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all()


def test_every_parameter_matters_for_the_outputs() -> None:
    network = build()
    network(sequence())[0].square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and (parameter.grad.abs().sum() > 0), name


def test_new_networks_have_zero_biases_on_interface_and_output() -> None:
    network = MemoryNetwork(INPUTS, OUTPUTS, PAPER, CONTROLLERS["lstm"])
    assert (network.slots, network.word_size) == (128, 40)
    assert not network.interface.bias.any() and not network.output.bias.any()


def test_the_gain_scales_the_contribution_of_the_hidden_units() -> None:
    def tape_or_not(start: Literal["alike", "tape"]) -> MemoryNetwork:
        scheme, memory = NTM(read_heads=2, start=start), partial(InitialState, memory="random")
        return MemoryNetwork(INPUTS, OUTPUTS, scheme, CONTROLLERS["lstm"], HIDDEN, SLOTS, WORD, memory).double()

    scaled, plain = tape_or_not("tape"), tape_or_not("alike")
    plain.load_state_dict(scaled.state_dict())
    rows = plain._by_control(plain.interface.weight.data)
    for name in ("write_gate", "write_shift", "write_sharpening"):
        rows[name] *= 0.02
    outputs = [network(sequence())[0] for network in (scaled, plain)]
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-8)
    for output in outputs:
        output.square().sum().backward()
    gradients = [network.interface.weight.grad for network in (scaled, plain)]
    learned, plainly = (plain._by_control(gradient) for gradient in gradients if gradient is not None)
    torch.testing.assert_close(learned["write_shift"], 0.02 * plainly["write_shift"])
    torch.testing.assert_close(learned["read_shift"], plainly["read_shift"])
    assert learned["write_shift"].abs().sum() > 0


def found_at_once(start: Literal["alike", "paired"]) -> tuple[float, float]:
    """Return two shares, each on average over random words: of the first head's read that falls on the slot which the
    second head writes in the same step, and of its write that falls on that slot a step later.
    """
    scheme = LRUA(read_heads=2, key_strength=8.0, write_vector="add", least_used="own", zeroed="all", start=start)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MemoryNetwork(30, 2, scheme, CONTROLLERS["lstm"], hidden_size=50, slots=16, word_size=20)
    inputs = torch.randn(5, 64, 30, generator=torch.Generator().manual_seed(2))
    write, fresh, looked, added = scheme.write, [], [], []

    def watched(controls: Controls, memory: Tensor, state: Any) -> tuple[Write, Any]:
        written, after = write(controls, memory, state)
        # The second head has the second of the least used slots.
        fresh.append(least_used_slots(state.usage, 2)[:, 1])
        looked.append(state.read_weights[:, 0])
        added.append(written.weights[:, 0])
        return written, after

    object.__setattr__(scheme, "write", watched)
    with torch.no_grad():
        network(inputs)
    pairs = range(len(inputs) - 1)
    return (
        torch.stack([(looked[t + 1] * fresh[t]).sum(-1) for t in pairs]).mean().item(),
        torch.stack([(added[t + 1] * fresh[t]).sum(-1) for t in pairs]).mean().item(),
    )


def test_a_word_is_found_where_it_was_just_written_and_added_to_a_step_later_when_heads_start_in_pairs() -> None:
    looked, added = found_at_once("paired")
    assert looked > 0.6 and added > 0.5
    looked, added = found_at_once("alike")
    assert looked < 0.4 and added < 0.3
