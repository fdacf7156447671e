"""Reading, erasing and writing: against the oracle, and planted memories."""

import numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mann.addressing import memory as memories
from tests.mann.addressing import oracles


def random(generator: numpy.random.Generator, *shape: int) -> torch.Tensor:
    """Return float64 numbers from 0 to 1."""
    return torch.from_numpy(generator.random(shape))


SIZES = {name: st.integers(1, 4) for name in ("batch", "heads", "slots", "word_size")}


@settings(deadline=None)
@given(**SIZES, seed=st.integers(0, 1000))
def test_reads_are_weighted_sums_of_the_slots(batch: int, heads: int, slots: int, word_size: int, seed: int) -> None:
    generator = numpy.random.default_rng(seed)
    memory, weights = random(generator, batch, slots, word_size), random(generator, batch, heads, slots)
    expected = [oracles.read(*parts) for parts in zip(memory.numpy(), weights.numpy(), strict=True)]
    numpy.testing.assert_allclose(memories.read(memory, weights).numpy(), expected, atol=1e-12)


@settings(deadline=None)
@given(**SIZES, per_word=st.booleans(), seed=st.integers(0, 1000))
def test_writes_erase_and_add_up_over_heads(
    batch: int, heads: int, slots: int, word_size: int, per_word: bool, seed: int
) -> None:
    generator = numpy.random.default_rng(seed)
    memory, weights = random(generator, batch, slots, word_size), random(generator, batch, heads, slots)
    keep = random(generator, batch, slots, word_size if per_word else 1)
    add = random(generator, batch, heads, word_size)
    before = memory.clone()
    written = memories.write(memory, weights, keep, add)
    arrays = (part.numpy() for part in (memory, weights, keep, add))
    expected = [oracles.write(*parts) for parts in zip(*arrays, strict=True)]
    numpy.testing.assert_allclose(written.numpy(), expected, atol=1e-12)
    assert torch.equal(memory, before)


@settings(deadline=None)
@given(**SIZES, seed=st.integers(0, 1000))
def test_the_retained_share_is_the_product_over_heads(
    batch: int, heads: int, slots: int, word_size: int, seed: int
) -> None:
    generator = numpy.random.default_rng(seed)
    weights, erase = random(generator, batch, heads, slots), random(generator, batch, heads, word_size)
    expected = [oracles.retained(*parts) for parts in zip(weights.numpy(), erase.numpy(), strict=True)]
    numpy.testing.assert_allclose(memories.retained(weights, erase).numpy(), expected, atol=1e-12)


def test_the_retained_share_by_hand() -> None:
    weights = torch.tensor([[[1.0, 0.5, 0.0], [0.0, 0.5, 0.0], [0.0, 0.5, 1.0]]])
    erase = torch.tensor([[[1.0, 0.0], [0.5, 0.0], [1.0, 0.25]]])
    # The second slot: half of each erase, three times over.
    assert memories.retained(weights, erase)[0].tolist() == [[0, 1], [0.5 * 0.75 * 0.5, 0.875], [0, 0.75]]
    assert memories.retained(weights[:, :1], erase[:, :1])[0].tolist() == [[0, 1], [0.5, 1], [1, 1]]


def test_a_whole_weight_reads_one_slot_exactly() -> None:
    memory = torch.arange(12.0).view(1, 4, 3)
    weights = torch.tensor([[[0.0, 0, 1, 0], [0, 0.5, 0, 0.5]]])
    assert memories.read(memory, weights).tolist() == [[[6, 7, 8], [6, 7, 8]]]


def test_a_word_written_with_a_whole_weight_is_read_back_and_the_rest_is_untouched() -> None:
    memory = torch.full((1, 3, 2), 7.0)
    weights = torch.tensor([[[0.0, 1, 0]]])
    keep = 1 - weights.mT
    word = torch.tensor([[[4.0, -5.0]]])
    written = memories.write(memory, weights, keep, word)
    assert written.tolist() == [[[7, 7], [4, -5], [7, 7]]]
    assert torch.equal(memories.read(written, weights), word)


def test_two_heads_on_one_slot_add_up() -> None:
    written = memories.write(
        torch.ones(1, 2, 1),
        torch.tensor([[[1.0, 0.0], [0.5, 0.0]]]),
        torch.ones(1, 2, 1),
        torch.tensor([[[10.0], [100.0]]]),
    )
    assert written.tolist() == [[[1 + 10 + 50], [1]]]


def test_derivatives_match_finite_differences() -> None:
    generator = numpy.random.default_rng(0)
    memory, weights, add = (random(generator, *shape).requires_grad_() for shape in ((2, 3, 2), (2, 2, 3), (2, 2, 2)))
    for width in (1, 2):
        keep = random(generator, 2, 3, width).requires_grad_()
        assert torch.autograd.gradcheck(memories.write, (memory, weights, keep, add))
    assert torch.autograd.gradcheck(memories.read, (memory, weights))
    for heads in (1, 3):
        weights, erase = (random(generator, *shape).requires_grad_() for shape in ((2, heads, 3), (2, heads, 2)))
        assert torch.autograd.gradcheck(memories.retained, (weights, erase))


def test_derivatives_of_the_retained_share_are_finite_where_everything_is_erased() -> None:
    weights, erase = torch.ones(1, 3, 2, requires_grad=True), torch.ones(1, 3, 2, requires_grad=True)
    keep = memories.retained(weights, erase)
    assert not keep.any()
    keep.sum().backward()
    for leaf in (weights, erase):
        assert leaf.grad is not None and not leaf.grad.any()
