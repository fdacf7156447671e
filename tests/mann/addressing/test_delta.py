"""The delta rule: against the oracle under every option, by hand, against the NTM's write, gradients and limits."""

from dataclasses import replace
from itertools import product

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mann.addressing import Delta
from mann.addressing import memory as memories
from mann.addressing.delta import DECAY_BIAS, RATE_BIAS, DeltaState
from mann.addressing.keys import FOLLOW_BIAS
from tests.mann.addressing.stepping import (
    assert_derivatives_match,
    assert_finite,
    assert_steps_match_the_oracle,
    changed,
    initialised_maps,
    one_step,
    oracle_results,
    random_controls,
)

VARIANTS = [
    Delta(2, rule, keys, decay, 1.5 if memory == "own" else 1.0, memory, follow, normalise)
    for rule, keys, decay, memory, follow, normalise in product(
        ("delta", "additive"),
        ("sphere", "simplex"),
        ("none", "number", "slots"),
        ("shared", "own"),
        (True, False),
        ("none", "rms"),
    )
]
FEW = [Delta(), Delta(3, "additive", "simplex", "slots", 2.0, "own", False, "rms"), Delta(1, decay="none")]


@pytest.mark.parametrize("scheme", VARIANTS, ids=str)
def test_steps_match_the_oracle(scheme: Delta) -> None:
    assert_steps_match_the_oracle(scheme, 5, "random", steps=3)


@pytest.mark.parametrize("slots", [1, 2, 7])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("memory", ["shared", "own"])
def test_steps_match_the_oracle_with_other_numbers_of_heads_and_slots(heads: int, memory: str, slots: int) -> None:
    scheme = Delta(heads, memories=memory, decay="slots")  # pyright: ignore[reportArgumentType]
    assert_steps_match_the_oracle(scheme, slots, "random")


def test_the_oracle_tells_all_variants_apart() -> None:
    assert len(oracle_results(VARIANTS, slots=6)) == len(VARIANTS)


def plain_controls(key: list[float], value: list[float], rate: float = 1.0, decay: float = 1.0) -> dict[str, Tensor]:
    """Return the controls of one head that writes `value` at `key`, and reads there."""
    numbers = {"key": key, "query": key, "value": value, "rate": [rate], "decay": [decay]}
    return {name: torch.tensor([[row]], dtype=torch.float64) for name, row in numbers.items()}


def stored(scheme: Delta, *writes: tuple[list[float], list[float]], rate: float = 1.0) -> Tensor:
    """Return the memory [3, 2] after writes of values at keys, from zeros."""
    memory = torch.zeros(1, 3, 2, dtype=torch.float64)
    state = scheme.initial_state(memory)
    for key, value in writes:
        _, memory, _, state = one_step(scheme, plain_controls(key, value, rate), memory, state)
    return memory[0]


def test_a_second_write_at_the_same_key_replaces_the_first() -> None:
    # The key [3, 4, 0] / 5: the memory is its outer product with what was written last.
    scheme = Delta(1, follow=False)
    memory = stored(scheme, ([3.0, 4.0, 0.0], [5.0, 0.0]), ([3.0, 4.0, 0.0], [0.0, 10.0]))
    numpy.testing.assert_allclose(memory.numpy(), [[0, 6], [0, 8], [0, 0]], atol=1e-7)


def test_without_the_correction_writes_at_the_same_key_add_up() -> None:
    scheme = Delta(1, "additive", follow=False)
    memory = stored(scheme, ([3.0, 4.0, 0.0], [5.0, 0.0]), ([3.0, 4.0, 0.0], [0.0, 10.0]))
    numpy.testing.assert_allclose(memory.numpy(), [[3, 6], [4, 8], [0, 0]], atol=1e-7)


def test_keys_at_right_angles_do_not_disturb_each_other() -> None:
    scheme = Delta(1, follow=False)
    memory = stored(
        scheme, ([3.0, 4.0, 0.0], [5.0, 1.0]), ([4.0, -3.0, 0.0], [7.0, 2.0]), ([0.0, 0.0, 2.0], [8.0, 3.0])
    )
    numpy.testing.assert_allclose(memory.numpy().T @ [0.6, 0.8, 0], [5, 1], atol=1e-7)
    numpy.testing.assert_allclose(memory.numpy().T @ [0.8, -0.6, 0], [7, 2], atol=1e-7)


def test_a_rate_of_one_half_goes_half_of_the_way_and_one_of_two_to_the_mirror_image() -> None:
    key, first, second = [0.0, 1.0, 0.0], [4.0, 8.0], [2.0, 0.0]
    half = stored(Delta(1, follow=False), (key, first), (key, second), rate=0.5)
    numpy.testing.assert_allclose(half[1].numpy(), [2, 2], atol=1e-7)
    mirror = stored(Delta(1, follow=False, largest_rate=2.0), (key, first), (key, second), rate=2.0)
    numpy.testing.assert_allclose(mirror[1].numpy(), [-4, -16], atol=1e-6)


@pytest.mark.parametrize(("heads", "largest"), [(1, 2.0), (2, 1.0), (4, 0.5)])
def test_heads_that_share_a_memory_have_rates_of_2_together_at_most(heads: int, largest: float) -> None:
    emitted = torch.tensor([[[100.0]]])
    assert Delta(heads, largest_rate=2.0).controls(3, 4)["rate"].range(emitted).item() == pytest.approx(largest)
    assert Delta(heads, largest_rate=2.0, memories="own").controls(3, 4)["rate"].range(emitted).item() == 2.0
    assert Delta(heads, largest_rate=0.3).controls(3, 4)["rate"].range(emitted).item() == pytest.approx(0.3)


def test_four_heads_with_the_same_key_and_the_largest_rates_do_not_let_the_memory_grow() -> None:
    scheme = Delta(4, largest_rate=2.0, follow=False, decay="none")
    memory = torch.ones(1, 3, 2, dtype=torch.float64)
    state = scheme.initial_state(memory)
    shapes = {"key": (4, 3), "query": (4, 3), "value": (4, 2), "rate": (4, 1)}
    controls = {name: torch.ones(1, *shape, dtype=torch.float64) for name, shape in shapes.items()}
    controls["rate"] = scheme.controls(2, 3)["rate"].range(100 * controls["rate"])
    for _ in range(100):
        _, memory, _, state = one_step(scheme, controls, memory, state)
    assert memory.abs().max() < 10


@given(rate=st.floats(0, 1), slot=st.integers(0, 3), seed=st.integers(0, 1000))
def test_with_a_key_that_selects_one_slot_it_is_the_write_of_the_ntm(rate: float, slot: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    memory, value = torch.randn(1, 4, 3, generator=generator).double(), torch.randn(3, generator=generator).double()
    key = torch.eye(4, dtype=torch.float64)[slot]
    controls = plain_controls(key.tolist(), value.tolist(), rate)
    scheme = Delta(1, keys="simplex", follow=False)
    _, found, _, _ = one_step(scheme, controls, memory, scheme.initial_state(memory))
    weights, erase = key.view(1, 1, 4), torch.full((1, 1, 3), rate, dtype=torch.float64)
    ntm = memories.write(memory, weights, memories.retained(weights, erase), rate * value.view(1, 1, 3))
    numpy.testing.assert_allclose(found.numpy(), ntm.numpy(), atol=1e-6)


def test_the_memory_decays_before_it_is_corrected() -> None:
    scheme = Delta(1, follow=False)
    memory = torch.tensor([[[8.0], [4.0]]], dtype=torch.float64)
    controls = plain_controls([0.0, 1.0], [1.0], rate=0.5, decay=0.25)
    _, written, _, _ = one_step(scheme, controls, memory, scheme.initial_state(memory))
    # 8 / 4; and 4 / 4 = 1, which is what is written.
    numpy.testing.assert_allclose(written.flatten().numpy(), [2, 1], atol=1e-7)


def test_a_value_is_bound_to_the_query_of_the_step_before() -> None:
    scheme, memory = Delta(1), torch.zeros(1, 3, 2, dtype=torch.float64)
    image = {**plain_controls([1.0, 0.0, 0.0], [0.0, 0.0]), "query": torch.tensor([[[0.0, 0.0, 1.0]]]).double()}
    label = plain_controls([0.0, 1.0, 0.0], [3.0, 4.0])
    share = torch.ones(1, 1, 1, dtype=torch.float64)
    _, memory, _, state = one_step(scheme, {**image, "follow": 0 * share}, memory, scheme.initial_state(memory))
    _, written, _, _ = one_step(scheme, {**label, "follow": share}, memory, state)
    numpy.testing.assert_allclose(written[0].numpy(), [[0, 0], [0, 0], [3, 4]], atol=1e-7)


def test_what_is_read_has_a_root_mean_square_of_1_if_it_is_to() -> None:
    scheme = Delta(2, normalise="rms", memories="own")
    generator = torch.Generator().manual_seed(0)
    memory = 5 * torch.randn(3, 6, 4, generator=generator, dtype=torch.float64)
    _, written, read, _ = one_step(
        scheme, random_controls(scheme, memory, generator), memory, scheme.initial_state(memory)
    )
    sizes = memories.read(written, read).square().mean(-1).sqrt()
    numpy.testing.assert_allclose(sizes.numpy(), numpy.ones((3, 2)), rtol=1e-5)


def test_heads_with_memories_of_their_own_do_not_reach_those_of_others() -> None:
    scheme = Delta(2, memories="own")
    generator = torch.Generator().manual_seed(0)
    memory = torch.zeros(1, 7, 2, dtype=torch.float64)
    state = scheme.initial_state(memory)
    for _ in range(3):
        write, memory, read, state = one_step(scheme, random_controls(scheme, memory, generator), memory, state)
        for weights in (write.weights[0], read[0]):
            assert not weights[0, 4:].any() and not weights[1, :4].any()
            assert weights[0, :4].all() and weights[1, 4:].all()


@settings(deadline=None)
@given(seed=st.integers(0, 1000), keys=st.sampled_from(["sphere", "simplex"]), heads=st.integers(1, 3))
def test_features_are_of_length_1_or_share_out_1(seed: int, keys: str, heads: int) -> None:
    scheme = Delta(heads, keys=keys)  # pyright: ignore[reportArgumentType]
    memory = torch.zeros(2, 5, 3, dtype=torch.float64)
    controls = random_controls(scheme, memory, torch.Generator().manual_seed(seed))
    _, _, read, _ = one_step(scheme, controls, memory, scheme.initial_state(memory))
    sizes = read.sum(-1) if keys == "simplex" else read.norm(dim=-1)
    numpy.testing.assert_allclose(sizes.numpy(), numpy.ones((2, heads)), atol=1e-5)
    assert (read >= 0).all() or keys == "sphere"


@pytest.mark.parametrize("scheme", FEW, ids=str)
def test_derivatives_match_finite_differences(scheme: Delta) -> None:
    generator = torch.Generator().manual_seed(0)
    memory = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    query = torch.randn(2, scheme.read_heads, 4, generator=generator, dtype=torch.float64)
    assert_derivatives_match(scheme, memory, DeltaState(query), through=["query"], steps=2)


@pytest.mark.parametrize("emitted", [0.0, -60.0, 60.0, 1e3])
@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("scheme", FEW, ids=str)
def test_values_and_gradients_are_finite_at_the_limits(scheme: Delta, slots: int, emitted: float) -> None:
    assert "memory" in assert_finite(scheme, emitted, slots, torch.float32)


def test_only_the_biases_of_rate_decay_and_follow_are_initialised() -> None:
    weights, biases, after_weights, after_biases = initialised_maps(Delta(2, decay="slots"))
    assert not changed(weights, after_weights)
    assert {name for name, _ in changed(biases, after_biases)} == {"rate", "decay", "follow"}
    for name, bias in (("rate", RATE_BIAS), ("decay", DECAY_BIAS), ("follow", FOLLOW_BIAS)):
        assert (after_biases[name] == bias).all()
    initialised_maps(Delta(decay="none", follow=False))


def test_weights_are_weightings_on_the_simplex_alone() -> None:
    kinds = {scheme.weights_are for scheme in VARIANTS if scheme.keys == "simplex" and scheme.normalise == "none"}
    assert kinds == {"weightings"}
    assert {replace(scheme, keys="sphere").weights_are for scheme in VARIANTS} == {"features"}
