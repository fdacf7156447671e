"""The initial state: memory, reads and weightings; and networks that make only the slots in reach."""

from typing import Any

import pytest
import torch

from mann.addressing import DNC, LRUA, NTM, SCHEMES, Sparse
from mann.models.initial_state import CONSTANT, SPREAD, InitialState

LIKE = torch.zeros(1, dtype=torch.float64)


def seeded(*arguments: Any, **options: Any) -> InitialState:
    """Return an initial state with the same random numbers every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return InitialState(*arguments, **options)


@pytest.mark.parametrize("name", list(SCHEMES))
def test_a_plain_state_has_no_parameters_and_is_the_schemes_own(name: str) -> None:
    scheme = SCHEMES[name]()
    start = seeded(scheme, 5, 3)
    memory, addressing, reads = start(2, 5, LIKE)
    assert not list(start.parameters()) and not start.state_dict()
    assert torch.equal(memory, torch.full((2, 5, 3), CONSTANT, dtype=torch.float64))
    assert torch.equal(reads, torch.zeros(2, scheme.read_heads * 3, dtype=torch.float64))
    for found, expected in zip(addressing, scheme.initial_state(memory), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("start", ["tape", "search", "recall", "recognise"])
def test_a_tape_has_a_start_marker_that_the_initial_reads_contain(start: Any) -> None:
    scheme = NTM(2, 1, start=start)
    memory, addressing, reads = seeded(scheme, 5, 3)(2, 5, LIKE)
    marker = memory[0, 0, 0].item()
    assert marker < -1 and memory[:, 0].tolist() == [[marker, CONSTANT, CONSTANT]] * 2
    assert torch.equal(memory[:, 1:], torch.full((2, 4, 3), CONSTANT, dtype=torch.float64))
    # The initial reads are those of the initial weightings.
    torch.testing.assert_close(reads.view(2, 2, 3), addressing.read_weights @ memory, atol=2e-6, rtol=0)
    # The other kinds of memory have no start marker.
    assert seeded(scheme, 5, 3, "random")(2, 5, LIKE)[2].abs().sum() == 0
    learned = seeded(scheme, 5, 3, heads="learned")
    assert learned(2, 5, LIKE)[2].tolist() == [[marker, 0.0, 0.0] * 2] * 2


def test_a_random_memory_is_drawn_once_kept_with_the_weights_and_cut_off() -> None:
    start = seeded(NTM(), 500, 20, "random")
    memory = start(2, 3, LIKE.float())[0]
    assert torch.equal(memory[0], memory[1]) and torch.equal(memory, start(2, 3, LIKE.float())[0])
    assert memory.abs().max() <= 2 * SPREAD
    # A normal distribution cut off at two deviations has 0.88 of the deviation left.
    assert abs(memory.std().item() - 0.88 * SPREAD) < 0.02
    assert list(start.state_dict()) == ["memory"] and not list(start.parameters())
    other = InitialState(NTM(), 500, 20, "random")
    assert not torch.equal(other(1, 3, LIKE.float())[0][0], memory[0])
    other.load_state_dict(start.state_dict())
    assert torch.equal(other(1, 3, LIKE.float())[0][0], memory[0])


def test_a_learned_memory_receives_gradients() -> None:
    start = seeded(NTM(), 4, 3, "learned")
    start(2, 3, LIKE)[0].sum().backward()
    (parameter,) = start.parameters()
    assert parameter.grad is not None and (parameter.grad == 2).all()


@pytest.mark.parametrize(("scheme", "weightings"), [(NTM(2, 3), 2), (LRUA(read_heads=2), 1), (DNC(), 2)])
def test_learned_heads_start_with_weightings_and_reads_that_receive_gradients(scheme: Any, weightings: int) -> None:
    start = seeded(scheme, 4, 3, heads="learned")
    _, addressing, reads = start(2, 3, LIKE)
    learned = [value for name, value in addressing._asdict().items() if name.endswith("_weights")]
    assert len(learned) == weightings == len(start.weightings)
    for weights in learned:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1], dtype=torch.float64))
        assert (weights > 0).all() and torch.equal(weights[0], weights[1])
        assert weights.std() > 0
    (reads.sum() + sum((weights * weights).sum() for weights in learned)).backward()
    for parameter in start.parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0


def test_only_slots_that_are_equal_at_first_are_left_out() -> None:
    scheme = Sparse(read_heads=2, nearest=3)
    assert seeded(scheme, 1000, 2)(1, 5, LIKE)[0].shape[1] == 5 * 2 * 4 + 1
    for different in (
        seeded(scheme, 1000, 2, "random"),
        seeded(scheme, 1000, 2, "learned"),
        seeded(scheme, 1000, 2, heads="learned"),
        seeded(LRUA(), 1000, 2),
    ):
        memory, addressing, _ = different(1, 5, LIKE)
        assert memory.shape[1] == addressing[0].shape[-1] == 1000


def test_slots_are_added_as_more_steps_can_reach_them_until_all_are_there() -> None:
    start = seeded(Sparse(read_heads=2, nearest=2), 40, 2)
    memory, addressing, _ = start(1, 1, LIKE)
    sizes = [memory.shape[1]]
    for _ in range(4):
        memory, addressing = start.grow(memory + 1, addressing, 2)
        sizes.append(memory.shape[1])
        assert addressing.age.shape == (1, sizes[-1]) and addressing.read_weights.shape == (1, 2, sizes[-1])
    assert sizes == [7, 19, 31, 40, 40]
    assert (memory[0, 7:19].round() == 3).all() and memory[0, 39, 0] == 1 + 1e-6
