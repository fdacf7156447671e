"""NTMs that start as a tape machine: positions of the heads before any training, from planted memories."""

from typing import Any

import pytest
import torch

from mann.addressing import NTM
from mann.models.initial_state import InitialState
from tests.mann.addressing.stepping import one_step


def started(scheme: NTM, word_size: int = 4) -> dict[str, torch.Tensor]:
    """Return the controls [1, heads, size] of a controller that emits zeros, with the scheme's initial biases."""
    controls = scheme.controls(word_size, 4)
    biases = {name: torch.zeros(control.heads, control.size) for name, control in controls.items()}
    weights = {name: torch.zeros(control.heads, control.size, 3) for name, control in controls.items()}
    scheme.initialise(weights, biases)
    return {name: control.range(biases[name])[None] for name, control in controls.items()}


@pytest.mark.parametrize("reach", [1, 2])
def test_a_tape_starts_with_write_heads_that_move_on_and_stay_sharp(reach: int) -> None:
    scheme = NTM(read_heads=1, write_heads=2, shift_range=reach, start="tape")
    controls, memory = started(scheme), torch.full((1, 40, 4), 1e-6)
    state = scheme.initial_state(memory)
    for step in range(1, 6):
        written, state = scheme.write(controls, memory, state)
        assert written.weights.argmax(-1).tolist() == [[step, step]]
        assert written.weights.max() > (0.95 if reach == 1 else 0.8)
    # The read head stays at the first slot, which is not written, and rather moves forward than backward.
    start = scheme.initial_state(memory)
    read, _ = scheme.read(controls, memory, start, scheme.write(controls, memory, start)[0])
    assert read[0, 0, 0] > 0.9 and read[0, 0, 1] > 10 * read[0, 0, -1]
    assert controls["write_gate"].max() < 1e-5 and controls["read_gate"].max() < 0.01
    assert controls["read_sharpening"].min() > 3
    # Every word begins with a marker, and is empty otherwise.
    assert (controls["add"][..., 0] > 0.9).all() and (controls["add"][..., 1:] == 0).all()


def test_the_first_of_several_read_heads_follows_the_write_head_and_others_stay() -> None:
    scheme = NTM(read_heads=3, start="tape")
    controls, memory = started(scheme), torch.full((1, 40, 4), 1e-6)
    state = scheme.initial_state(memory)
    for step in range(1, 6):
        written, state = scheme.write(controls, memory, state)
        read, state = scheme.read(controls, memory, state, written)
        assert read.argmax(-1).tolist() == [[step, 0, 0]]


@pytest.mark.parametrize("read_heads", [1, 3])
def test_a_read_head_of_a_tape_is_rewound_to_the_start_marker_when_its_gate_opens(read_heads: int) -> None:
    scheme = NTM(read_heads=read_heads, start="tape")
    controls = started(scheme)
    memory, addressing, _ = InitialState(scheme, 40, 4)(1, 5, torch.empty(0))
    memory[0, 1:9] = controls["add"][0, 0]
    state = addressing._replace(read_weights=addressing.read_weights.roll(8, -1))
    write, _ = scheme.write(controls, memory, state)
    staying, _ = scheme.read(controls, memory, state, write)
    rewound, _ = scheme.read({**controls, "read_gate": torch.ones_like(controls["read_gate"])}, memory, state, write)
    stays = slice(read_heads > 1, None)
    assert set(staying.argmax(-1)[0, stays].tolist()) == {8}
    assert set(rewound.argmax(-1)[0, stays].tolist()) == {0} and rewound[0, stays, 0].min() > 0.9


def test_rewinding_hardly_depends_on_the_hidden_units_at_first() -> None:
    scheme, generator = NTM(read_heads=2, start="tape"), torch.Generator().manual_seed(0)
    controls = scheme.controls(10, 4)
    weights = {
        name: torch.randn(control.heads, control.size, 50, generator=generator) / 10
        for name, control in controls.items()
    }
    biases = {name: torch.zeros(control.heads, control.size) for name, control in controls.items()}
    scheme.initialise(weights, biases)
    for hidden in torch.rand(20, 50, generator=generator):
        emitted = {name: of.range(of.gain * (weights[name] @ hidden) + biases[name]) for name, of in controls.items()}
        assert -emitted["read_key"][1, 0] > 2 * emitted["read_key"][1, 1:].norm()
        assert emitted["read_strength"][1, 0] > 7
        # The key of the head that follows, and the written words, depend on the hidden units.
        assert emitted["read_key"][0].norm() > 0.6 and emitted["add"][0, 1:].norm() > 0.6


@pytest.mark.parametrize("start", ["search", "recall", "recognise"])
def test_a_single_read_head_addresses_by_content(start: Any) -> None:
    assert started(NTM(start=start))["read_gate"].item() > 0.9


@pytest.mark.parametrize(("start", "after"), [("search", 0), ("recall", 1), ("recognise", 1)])
def test_a_read_head_starts_beside_the_write_head_and_others_find_by_content(start: Any, after: int) -> None:
    scheme = NTM(read_heads=3, start=start)
    controls, memory = started(scheme), torch.full((1, 12, 4), 1e-6)
    # The words that match the keys of the other two heads are in the slots 7 and 3.
    controls["read_key"] = torch.tensor([[[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]])
    memory[0, 7, 0] = memory[0, 3, 2] = 1.0
    state = scheme.initial_state(memory)
    for step in range(1, 6):
        written, state = scheme.write(controls, memory, state)
        read, state = scheme.read(controls, memory, state, written)
        assert written.weights.argmax(-1).tolist() == [[step]]
        assert read.argmax(-1).tolist() == [[step, 7 + after, 3 + after]]
        assert torch.allclose(read[:, 0], written.weights[:, 0], atol=0.02)
    assert started(NTM(read_heads=1, start=start)).keys() == controls.keys()


@pytest.mark.parametrize(("read_heads", "write_heads"), [(1, 1), (3, 1), (2, 3)])
@pytest.mark.parametrize("read_first", [False, True])
def test_heads_that_recognise_find_the_word_after_the_one_like_the_current(
    read_heads: int, write_heads: int, read_first: bool
) -> None:
    # With keys and words that a controller emits before any training; the last input is the third again.
    scheme, generator = NTM(read_heads, write_heads, start="recognise"), torch.Generator().manual_seed(0)
    controls = scheme.controls(40, 4)
    weights = {
        name: torch.randn(control.heads, control.size, 50, generator=generator) / 5
        for name, control in controls.items()
    }
    scheme.initialise(weights, {name: torch.zeros(control.heads, control.size) for name, control in controls.items()})
    memory, state, _ = InitialState(scheme, 12, 40)(1, 12, torch.empty(0))
    unlike = torch.randn(6, 50, generator=generator).sign()
    read = state.read_weights
    for hidden in (*unlike, unlike[2]):
        words = {name: torch.tanh(weights[name] @ hidden)[None] for name in ("add", "read_key")}
        _, memory, read, state = one_step(scheme, {**started(scheme, 40), **words}, memory, state, read_first)
    # The third word is in slot 3, and the next one in slot 4. The current word, in slot 7, matches its own key too,
    # unless the memory is read before the write.
    after, itself = read[0, read_heads > 1 :, [4, 8]].unbind(-1)
    assert after.min() > (0.8 if read_first else 0.4) and (after + itself).min() > 0.8
    assert itself.max() < 0.01 if read_first else itself.min() > 0.4


def test_without_the_tape_and_without_a_shift_write_heads_stay() -> None:
    for scheme in (NTM(), NTM(shift_range=0, start="tape"), NTM(shift_range=0, start="recall")):
        controls, memory = started(scheme), torch.full((1, 5, 4), 1e-6)
        written, _ = scheme.write(controls, memory, scheme.initial_state(memory))
        assert written.weights.argmax(-1).tolist() == [[0]]
    assert started(NTM())["write_gate"].item() == 0.5
