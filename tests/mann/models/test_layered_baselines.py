"""The Transformer and the stack of delta-rule layers: against loops in NumPy, and step by step with a cache."""

from collections.abc import Callable
from functools import partial

import numpy
import pytest
import torch
from torch import Tensor, nn

from mann.models.baselines.delta_layers import CHUNK, DeltaLayer, delta_chunk
from mann.models.baselines.residual import Mixer, ResidualStack
from mann.models.baselines.transformer import CausalAttention, rotated
from mann.support.trees import leaves_of

KINDS: dict[str, Callable[..., ResidualStack]] = {
    "transformer": partial(ResidualStack, CausalAttention),
    "delta": partial(ResidualStack, DeltaLayer),
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Callable[..., ResidualStack]:
    """Return each kind in turn."""
    return KINDS[request.param]


def random(*shape: int, seed: int = 0) -> Tensor:
    """Return float64 normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def numbers(module: nn.Module) -> dict[str, numpy.ndarray]:
    """Return the weights as float64."""
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


def outputs(layer: Mixer, inputs: Tensor) -> numpy.ndarray:
    """Return the outputs of a layer for one sequence, [time, width]."""
    return layer(inputs, layer.initial_state(1, inputs))[0][:, 0].detach().numpy()


def silu(values: numpy.ndarray) -> numpy.ndarray:
    """Return x sigmoid(x)."""
    return values / (1 + numpy.exp(-values))


def test_rotations_turn_each_pair_by_its_angle() -> None:
    vectors = numpy.array([[3.0, 1.0, 0.0, 2.0]] * 3)  # the pairs (3, 0) and (1, 2) at steps 4, 5, 6
    found = rotated(torch.from_numpy(vectors), 4).numpy()
    for row, step in enumerate((4, 5, 6)):
        for pair, rate in enumerate((1.0, 10_000.0**-0.5)):
            rotated_pair = complex(vectors[row, pair], vectors[row, pair + 2]) * numpy.exp(1j * step * rate)
            numpy.testing.assert_allclose(
                [found[row, pair], found[row, pair + 2]], [rotated_pair.real, rotated_pair.imag]
            )


def test_products_of_rotated_vectors_depend_on_the_distance_alone() -> None:
    query, key = random(1, 8), random(1, 8, seed=1)
    near = [(rotated(query, 5 + shift) * rotated(key, 2 + shift)).sum().item() for shift in (0, 7, 40)]
    numpy.testing.assert_allclose(near, near[0])
    assert abs((rotated(query, 6) * rotated(key, 2)).sum().item() - near[0]) > 1e-3


def test_attention_is_the_papers_without_the_future() -> None:
    layer, time, size = CausalAttention(8, 2).double(), 5, 4
    weights, inputs = numbers(layer), random(time, 1, 8)
    queries, keys, values = numpy.split(inputs[:, 0].numpy() @ weights["projection.weight"].T, 3, axis=1)
    expected = numpy.zeros((time, 8))
    for head in range(2):
        own = slice(head * size, (head + 1) * size)
        q, k = (rotated(torch.from_numpy(part[:, own].copy()), 0).numpy() for part in (queries, keys))
        for step in range(time):
            scores = numpy.array([q[step] @ k[earlier] / 2 for earlier in range(step + 1)])
            shares = numpy.exp(scores) / numpy.exp(scores).sum()
            expected[step, own] = shares @ values[: step + 1, own]
    numpy.testing.assert_allclose(
        outputs(layer, inputs),
        expected @ weights["output.weight"].T,
        atol=1e-12,
    )


@pytest.mark.parametrize("time", [1, 3, 7])
def test_a_chunk_is_the_delta_rule_step_by_step(time: int) -> None:
    queries, keys, values = (random(2, time, 4, seed=seed).numpy() for seed in range(3))
    rates, memory = random(2, time, 1, seed=3).sigmoid().numpy(), random(2, 4, 4, seed=4).numpy()
    reads, after = delta_chunk(*map(torch.from_numpy, (queries, keys, values, rates, memory)))
    for head in range(2):
        current = memory[head].copy()
        for step in range(time):
            key = keys[head, step]
            current += rates[head, step] * numpy.outer(key, values[head, step] - key @ current)
            numpy.testing.assert_allclose(reads[head, step].numpy(), queries[head, step] @ current, atol=1e-9)
        numpy.testing.assert_allclose(after[head].numpy(), current, atol=1e-9)


@pytest.mark.parametrize("time", [1, 6])
def test_a_delta_layer_is_a_loop_over_steps(time: int) -> None:
    layer = DeltaLayer(6, 2).double()
    weights, inputs = numbers(layer), random(time, 1, 6)
    x = inputs[:, 0].numpy()
    projected = numpy.concatenate([numpy.zeros((3, 18)), x @ weights["projection.weight"].T])
    kernel = weights["convolution.weight"][:, 0]  # [channel, 4], the last for the step itself
    mixed = silu(numpy.array([(kernel.T * projected[step : step + 4]).sum(0) for step in range(time)]))
    queries, keys, values = numpy.split(mixed, 3, axis=1)
    rates = 1 / (1 + numpy.exp(-(x @ weights["rate.weight"].T + weights["rate.bias"])))
    expected = numpy.zeros((time, 6))
    for head in range(2):
        own, memory = slice(3 * head, 3 * head + 3), numpy.zeros((3, 3))
        for step in range(time):
            query, key = (part[step, own] / numpy.linalg.norm(part[step, own]) for part in (queries, keys))
            memory += rates[step, head] * numpy.outer(key, values[step, own] - key @ memory)
            read = query @ memory
            epsilon = numpy.finfo(numpy.float64).eps
            expected[step, own] = read / numpy.sqrt((read**2).mean() + epsilon) * weights["norm.weight"]
    expected = expected * silu(x @ weights["gate.weight"].T) @ weights["output.weight"].T
    numpy.testing.assert_allclose(outputs(layer, inputs), expected, atol=1e-6)


@pytest.mark.parametrize("cuts", [(1,), (2, 5), tuple(range(1, 9))])
def test_continuing_from_the_state_gives_the_outputs_of_the_whole(
    kind: Callable[..., ResidualStack], cuts: tuple[int, ...]
) -> None:
    model, inputs = kind(3, 2, blocks=2, width=8, heads=2).double(), random(9, 2, 3)
    whole, last = model(inputs)
    state, parts = None, []
    for part in inputs.tensor_split(cuts):
        outputs, state = model(part, state)
        parts.append(outputs)
    numpy.testing.assert_allclose(torch.cat(parts).detach().numpy(), whole.detach().numpy(), atol=1e-9)
    for one, other in zip(leaves_of(state), leaves_of(last), strict=True):
        numpy.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), atol=1e-9)


def test_a_sequence_of_several_chunks_is_continued_from_chunk_to_chunk() -> None:
    model, inputs = KINDS["delta"](3, 2, blocks=1, width=8, heads=2).double(), random(2 * CHUNK + 3, 1, 3)
    with torch.no_grad():
        state, parts = None, []
        for step in inputs.split(1):
            outputs, state = model(step, state)
            parts.append(outputs)
        numpy.testing.assert_allclose(model(inputs)[0].numpy(), torch.cat(parts).numpy(), atol=1e-8)


def test_in_bfloat16_memories_stay_in_float32(kind: Callable[..., ResidualStack]) -> None:
    model, inputs = kind(3, 2, blocks=1, width=8, heads=2), random(5, 2, 3).float()
    with torch.autocast("cpu", torch.bfloat16):
        outputs, state = model(inputs)
        continued, _ = model(inputs, state)
    if kind is KINDS["delta"]:
        assert state[0].memory.dtype == torch.float32
    numpy.testing.assert_allclose(outputs.float().detach().numpy(), model(inputs)[0].detach().numpy(), atol=0.05)
    outputs.float().sum().backward()
    assert torch.isfinite(continued).all() and all(part.grad is not None for part in model.parameters())


def test_no_output_depends_on_later_inputs_or_other_sequences(kind: Callable[..., ResidualStack]) -> None:
    model, inputs = kind(3, 2, blocks=2, width=8, heads=2).double(), random(6, 2, 3).requires_grad_()
    model(inputs)[0][3, 0].sum().backward()
    assert inputs.grad is not None
    assert inputs.grad[:4, 0].abs().amin(-1).gt(0).all()
    assert not inputs.grad[4:].any() and not inputs.grad[:, 1].any()


@pytest.mark.parametrize(("time", "batch", "width", "heads"), [(1, 1, 2, 1), (2, 1, 8, 4), (5, 3, 4, 2)])
def test_sizes_of_one_work(kind: Callable[..., ResidualStack], time: int, batch: int, width: int, heads: int) -> None:
    outputs, _ = kind(1, 1, blocks=1, width=width, heads=heads)(torch.ones(time, batch, 1))
    assert outputs.shape == (time, batch, 1) and torch.isfinite(outputs).all()
