"""Content addressing: against the oracle, by hand, and where cosines and distances usually break."""

import math
from functools import partial

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mann.addressing.similarity import (
    EPSILON,
    SIMILARITIES,
    Similarity,
    content_weights,
    cosine_similarity,
    dot_product,
    inverse_length,
    negative_distance,
)
from tests.mann.addressing import oracles


def normal(generator: numpy.random.Generator, *shape: int) -> torch.Tensor:
    """Return float64 numbers of either sign."""
    return torch.from_numpy(generator.standard_normal(shape))


def similarities_by_oracle(keys: torch.Tensor, memory: torch.Tensor, kind: str) -> numpy.ndarray:
    """K[k, M(i)] of every pair, [batch, heads, slots]."""
    pairs = zip(keys.numpy(), memory.numpy(), strict=True)
    return numpy.array(
        [[[oracles.similarity(key, word, kind) for word in words] for key in heads] for heads, words in pairs]
    )


def softmax_by_oracle(rows: numpy.ndarray) -> numpy.ndarray:
    """Softmax over the last axis."""
    return numpy.apply_along_axis(oracles.softmax, -1, rows)


KINDS: list[Similarity] = ["cosine", "dot", "euclidean"]


SIZES = {name: st.integers(1, 4) for name in ("batch", "heads", "slots", "word_size")}


def test_similarity_by_hand() -> None:
    keys = torch.tensor([[[3.0, 4.0]]])
    memory = torch.tensor([[[6.0, 8.0], [-3.0, -4.0], [-4.0, 3.0], [1.0, 0.0]]])
    assert cosine_similarity(keys, memory)[0, 0].tolist() == pytest.approx([1, -1, 0, 0.6], abs=1e-6)


@pytest.mark.parametrize("strength", [1.0, 5.0])
def test_the_strength_sets_how_much_likelier_the_slot_that_equals_the_key_is(strength: float) -> None:
    memory = torch.eye(3)[None]
    weights = content_weights(torch.tensor([[[0.0, 2.0, 0.0]]]), strength, memory)[0, 0]
    assert weights.argmax() == 1
    assert (weights[1] / weights[0]).item() == pytest.approx(math.exp(strength), rel=1e-5)
    assert weights[0] == weights[2]


@given(scale=st.floats(0.1, 1e6))
def test_similarity_does_not_depend_on_the_length_of_words(scale: float) -> None:
    generator = numpy.random.default_rng(0)
    keys, memory = normal(generator, 1, 2, 5), normal(generator, 1, 3, 5)
    numpy.testing.assert_allclose(
        cosine_similarity(keys * scale, memory).numpy(), cosine_similarity(keys, memory).numpy(), atol=1e-6
    )
    numpy.testing.assert_allclose(
        cosine_similarity(keys, memory * scale).numpy(), cosine_similarity(keys, memory).numpy(), atol=1e-6
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("zero", ["keys", "memory", "both"])
def test_zero_words_have_similarity_0_and_finite_gradients(zero: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(2, 2, 3, generator=generator, dtype=dtype)
    memory = torch.randn(2, 4, 3, generator=generator, dtype=dtype)
    keys = (keys * (zero == "memory")).requires_grad_()
    memory = (memory * (zero == "keys")).requires_grad_()
    assert (cosine_similarity(keys, memory) == 0).all()
    weights = content_weights(keys, 10.0, memory)
    assert (weights == 0.25).all()
    weights[..., 0].sum().backward()
    for tensor in (keys, memory):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().max() <= 10.0 / math.sqrt(EPSILON)


def test_the_steepest_gradient_of_a_word_of_length_1_is_the_one_documented() -> None:
    words = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    (words * inverse_length(words))[0, 0].backward()
    assert words.grad is not None
    assert words.grad[0].tolist() == pytest.approx([1e4, 0, 0])


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12])
def test_lengths_of_any_size_stay_finite_and_bounded(scale: float) -> None:
    memory = torch.full((1, 3, 4), scale, requires_grad=True)
    keys = torch.full((1, 1, 4), scale, requires_grad=True)
    similarity = cosine_similarity(keys, memory)
    assert (similarity.abs() <= 1 + 1e-6).all()
    similarity.sum().backward()
    assert memory.grad is not None and torch.isfinite(memory.grad).all()


@pytest.mark.parametrize("heads", [1, 2])
def test_derivatives_match_finite_differences(heads: int) -> None:
    generator = numpy.random.default_rng(1)
    keys = normal(generator, 2, heads, 3).requires_grad_()
    memory = normal(generator, 2, 4, 3).requires_grad_()
    strengths = torch.from_numpy(generator.uniform(1, 5, (2, heads, 1))).requires_grad_()
    assert torch.autograd.gradcheck(content_weights, (keys, strengths, memory))
    assert torch.autograd.gradcheck(cosine_similarity, (keys, memory))


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(**SIZES, seed=st.integers(0, 1000))
def test_each_similarity_and_its_weights_match_the_oracle(
    kind: Similarity, batch: int, heads: int, slots: int, word_size: int, seed: int
) -> None:
    generator = numpy.random.default_rng(seed)
    keys, memory = normal(generator, batch, heads, word_size), normal(generator, batch, slots, word_size)
    strengths = torch.from_numpy(generator.uniform(0, 20, (batch, heads, 1)))
    expected = similarities_by_oracle(keys, memory, kind)
    functions = {"cosine": cosine_similarity, "dot": dot_product, "euclidean": negative_distance}
    numpy.testing.assert_allclose(functions[kind](keys, memory).numpy(), expected, atol=1e-10)
    numpy.testing.assert_allclose(SIMILARITIES[kind](keys, memory).numpy(), expected, atol=1e-10)
    for strength in (strengths, 3.0):
        weights = softmax_by_oracle(numpy.asarray(strength) * expected)
        numpy.testing.assert_allclose(content_weights(keys, strength, memory, kind).numpy(), weights, atol=1e-10)


def test_the_similarity_is_the_cosine_if_none_is_named() -> None:
    assert set(SIMILARITIES) == set(KINDS)
    generator = numpy.random.default_rng(0)
    keys, memory = normal(generator, 2, 2, 3), normal(generator, 2, 4, 3)
    same = [torch.equal(content_weights(keys, 2.0, memory), content_weights(keys, 2.0, memory, kind)) for kind in KINDS]
    assert same == [True, False, False]


def test_products_and_distances_by_hand() -> None:
    keys = torch.tensor([[[3.0, 4.0]]])
    memory = torch.tensor([[[0.0, 0.0], [6.0, 8.0], [-4.0, 3.0], [3.0, 1.0], [3.0, 4.0]]])
    assert dot_product(keys, memory)[0, 0].tolist() == [0, 50, 0, 13, 25]
    expected = [-5, -5, -math.sqrt(50), -3, -math.sqrt(EPSILON)]
    assert negative_distance(keys, memory)[0, 0].tolist() == pytest.approx(expected, rel=1e-6)


def test_each_similarity_prefers_another_slot() -> None:
    # The direction of the key but far away, longer and off its direction, and close to it.
    keys = torch.tensor([[[1.0, 1.0]]])
    memory = torch.tensor([[[4.0, 4.0], [9.0, 3.0], [1.0, 1.25]]])
    liked = {kind: int(content_weights(keys, 5.0, memory, kind).argmax()) for kind in KINDS}
    assert liked == {"cosine": 0, "dot": 1, "euclidean": 2}


@given(seed=st.integers(0, 1000))
def test_the_nearer_a_slot_the_more_of_the_weight_it_has(seed: int) -> None:
    generator = numpy.random.default_rng(seed)
    keys, memory = normal(generator, 1, 1, 3), normal(generator, 1, 6, 3)
    distances = [math.dist(keys[0, 0].tolist(), word) for word in memory[0].tolist()]
    nearest_first = sorted(range(6), key=lambda slot: distances[slot])
    assert negative_distance(keys, memory)[0, 0].argsort(descending=True).tolist() == nearest_first
    assert content_weights(keys, 4.0, memory, "euclidean")[0, 0].argsort(descending=True).tolist() == nearest_first


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_keys_that_equal_slots_and_words_of_zero_have_finite_gradients(kind: Similarity, dtype: torch.dtype) -> None:
    for value in (0.0, 0.5):
        keys = torch.full((2, 2, 3), value, dtype=dtype, requires_grad=True)
        memory = torch.full((2, 4, 3), value, dtype=dtype, requires_grad=True)
        similarity = SIMILARITIES[kind](keys, memory)
        weights = content_weights(keys, 500.0, memory, kind)
        assert (weights == 0.25).all()
        (similarity.sum() + weights[..., 0].sum()).backward()
        for tensor in (keys, memory):
            assert tensor.grad is not None and torch.isfinite(tensor.grad).all()
            if kind == "euclidean":
                assert not tensor.grad.any()
                assert similarity.unique().tolist() == pytest.approx([-math.sqrt(EPSILON)])


def test_small_distances_far_from_zero_are_not_lost_in_single_precision() -> None:
    # |k|^2 - 2 k M + |M|^2 would answer 0, or the root of a negative number.
    keys, memory = torch.tensor([[[1000.0, 0.0]]]), torch.tensor([[[1000.0, 0.0078125], [1000.0078125, 0.0]]])
    expected = -math.sqrt(0.0078125**2 + EPSILON)
    assert negative_distance(keys, memory)[0, 0].tolist() == pytest.approx([expected, expected], rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_of_each_similarity_match_finite_differences(kind: Similarity) -> None:
    generator = numpy.random.default_rng(1)
    keys = normal(generator, 2, 2, 3).requires_grad_()
    memory = normal(generator, 2, 4, 3).requires_grad_()
    strengths = torch.from_numpy(generator.uniform(1, 5, (2, 2, 1))).requires_grad_()
    assert torch.autograd.gradcheck(SIMILARITIES[kind], (keys, memory))
    weights = partial(content_weights, similarity=kind)
    assert torch.autograd.gradcheck(weights, (keys, strengths, memory))
