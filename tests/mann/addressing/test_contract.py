"""The contract of every addressing scheme; a new one is tested here once it is in the list of schemes."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from data import InputError
from mann.addressing import DNC, LRUA, MLSTM, NTM, SCHEMES, Content, Controls, Delta, Scheme, Sparse, Write
from mann.addressing import memory as memories
from mann.support.trees import leaves_of, map_leaves

VARIANTS: dict[str, Callable[[], Scheme]] = {
    **SCHEMES,
    "lrua, one head": lambda: LRUA(read_heads=1),
    "lrua, default of training": lambda: LRUA(2, 8.0, "add", least_used="own", zeroed="all", start="paired"),
    "lrua, one writer": lambda: LRUA(read_heads=3, write_heads="one", zeroed="all"),
    "lrua, own and all": lambda: LRUA(read_heads=2, least_used="own", zeroed="all", usage_decay=0.5),
    "ntm, several heads": lambda: NTM(read_heads=3, write_heads=2, shift_range=2, similarity="euclidean"),
    "dnc, improved": lambda: DNC(masking=True, deallocation=True, sharpness=True),
    "dnc, one head": lambda: DNC(read_heads=1, similarity="dot"),
    "delta, memories of their own": lambda: Delta(3, decay="slots", memories="own", normalise="rms"),
    "delta, distributions": lambda: Delta(rule="additive", keys="simplex", decay="none", follow=False),
    "mlstm, three heads": lambda: MLSTM(read_heads=3, follow=False),
    "sparse, two slots": lambda: Sparse(read_heads=3, nearest=2),
}
WORD_SIZE = 3
BATCH = 3


class Step(NamedTuple):
    """The inputs and the results of a step of access."""

    controls: Controls
    memory: Tensor
    state: Any
    write: Write
    written: Tensor
    read: Tensor
    after: Any


@pytest.fixture(params=list(VARIANTS))
def scheme(request: pytest.FixtureRequest) -> Scheme:
    """Return each scheme in turn."""
    return VARIANTS[request.param]()


def emit(scheme: Scheme, slots: int, generator: torch.Generator, dtype: torch.dtype) -> Controls:
    """Return random controls, some of them at the ends of their ranges."""
    return {
        name: control.range(
            3 * torch.randn(BATCH, control.heads, control.size, generator=generator, dtype=torch.float64).to(dtype)
        )
        for name, control in scheme.controls(WORD_SIZE, slots).items()
    }


def access(scheme: Scheme, controls: Controls, memory: Tensor, state: Any, read_first: bool) -> Step:
    """Write and read once, as the network does."""
    write, between = scheme.write(controls, memory, state)
    written = memories.write(memory, *write)
    read, after = scheme.read(controls, memory if read_first else written, between, write)
    return Step(controls, memory, state, write, written, read, after)


def steps(scheme: Scheme, slots: int, dtype: torch.dtype = torch.float64, read_first: bool = False) -> Iterator[Step]:
    """Run 6 steps from the initial state."""
    generator = torch.Generator().manual_seed(slots)
    # By content alone, slots that start alike stay alike.
    memory = torch.randn(BATCH, slots, WORD_SIZE, generator=generator, dtype=torch.float64).to(dtype)
    memory = memory if isinstance(scheme, Content) else torch.full_like(memory, 1e-6)
    state = scheme.initial_state(memory)
    for _ in range(6):
        step = access(scheme, emit(scheme, slots, generator, dtype), memory, state, read_first)
        yield step
        memory, state = step.written, step.after


@pytest.mark.parametrize("read_first", [False, True])
@pytest.mark.parametrize("slots", [1, 2, 7])
def test_results_have_their_shapes_and_the_memory_is_kept_by_shares(
    scheme: Scheme, slots: int, read_first: bool
) -> None:
    for step in steps(scheme, slots, read_first=read_first):
        assert (step.write.keep >= 0).all() and (step.write.keep <= 1 + 1e-12).all()
        assert step.read.shape == (BATCH, scheme.read_heads, slots)
        writers = step.write.weights.shape[1]
        assert step.write.weights.shape == (BATCH, writers, slots)
        assert step.write.add.shape == (BATCH, writers, WORD_SIZE)
        assert step.write.keep.shape in ((BATCH, slots, 1), (BATCH, slots, WORD_SIZE))
        assert all(torch.isfinite(leaf).all() for leaf in leaves_of(step))


@pytest.mark.parametrize("read_first", [False, True])
@pytest.mark.parametrize("slots", [1, 2, 7])
def test_weightings_lie_between_0_and_1_and_share_out_at_most_1_and_features_have_both_signs(
    scheme: Scheme, slots: int, read_first: bool
) -> None:
    found = list(steps(scheme, slots, read_first=read_first))
    if scheme.weights_are == "features":
        weights = torch.cat([part.flatten() for step in found for part in (step.write.weights, step.read)])
        assert (weights < 0).any() and (weights > 0).any()
        return
    for step in found:
        for weights in (step.write.weights, step.read):
            assert (weights >= 0).all() and (weights <= 1 + 1e-12).all()
        assert (step.read.sum(-1) <= 1 + 1e-6).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_dtype_and_device_of_the_inputs(scheme: Scheme, dtype: torch.dtype) -> None:
    for step in steps(scheme, 4, dtype):
        for leaf in leaves_of((step.state, step.write, step.read, step.after)):
            assert (leaf.dtype, leaf.device) == (dtype, step.memory.device)


def test_shapes_and_devices_follow_the_inputs_on_another_device_too(scheme: Scheme) -> None:
    # The meta device has no numbers, and refuses to be mixed with tensors made on the CPU.
    memory = torch.zeros(BATCH, 4, WORD_SIZE, device="meta")
    controls = {
        name: control.range(torch.zeros(BATCH, control.heads, control.size, device="meta"))
        for name, control in scheme.controls(WORD_SIZE, 4).items()
    }
    step = access(scheme, controls, memory, scheme.initial_state(memory), False)
    assert {leaf.device.type for leaf in leaves_of(step)} == {"meta"}


@pytest.mark.parametrize("changed", range(BATCH))
def test_sequences_of_a_batch_do_not_see_each_other(scheme: Scheme, changed: int) -> None:
    *_, step = steps(scheme, 5)

    def touched(tensor: Tensor) -> Tensor:
        result = tensor.clone()
        result[changed] = result[changed].flip(-1) * 0.7 + 0.1
        return result

    inputs = (step.controls, step.memory, step.state)
    other = access(scheme, *map_leaves(touched, inputs), read_first=False)
    others = [sequence for sequence in range(BATCH) if sequence != changed]
    differ = False
    for before, after in zip(leaves_of(step), leaves_of(other), strict=True):
        assert torch.equal(before[others], after[others])
        differ |= not torch.equal(before[changed], after[changed])
    assert differ


def test_nothing_is_changed_in_place(scheme: Scheme) -> None:
    for step in steps(scheme, 4):
        inputs = (step.controls, step.memory, step.state)
        before = map_leaves(torch.clone, inputs)
        write, between = scheme.write(step.controls, step.memory, step.state)
        written = memories.write(step.memory, *write)
        kept = map_leaves(torch.clone, (write, written, between))
        scheme.read(step.controls, written, between, write)
        after = (*inputs, write, written, between)
        for old, new in zip(leaves_of((*before, *kept)), leaves_of(after), strict=True):
            assert torch.equal(old, new)


def test_a_step_is_a_function_of_its_inputs_alone(scheme: Scheme) -> None:
    for first, second in zip(steps(scheme, 4), steps(scheme, 4), strict=True):
        for one, other in zip(leaves_of(first), leaves_of(second), strict=True):
            assert torch.equal(one, other)


def test_exactly_the_declared_controls_are_used(scheme: Scheme) -> None:
    """Each control matters in some step, and no other is read."""
    for name in scheme.controls(WORD_SIZE, 4):
        assert any(
            # The control of another sequence: in its range, and not proportional.
            _differs(step, access(scheme, {**step.controls, name: step.controls[name].roll(1, 0)}, *step[1:3], False))
            for step in steps(scheme, 4)
        ), name
    for step in steps(scheme, 4):
        assert set(step.controls) == set(scheme.controls(WORD_SIZE, 4))


def _differs(one: Step, other: Step) -> bool:
    """Whether any result differs."""
    pairs = zip(leaves_of(one[3:]), leaves_of(other[3:]), strict=True)
    return any(not torch.equal(left, right) for left, right in pairs)


@pytest.mark.parametrize(("word_size", "slots"), [(1, 1), (5, 1), (1, 8)])
def test_declared_sizes_follow_the_memory_and_ranges_keep_shapes(scheme: Scheme, word_size: int, slots: int) -> None:
    controls = scheme.controls(word_size, slots)
    assert controls
    for control in controls.values():
        assert control.heads >= 1 and control.size >= 1
        emitted = torch.linspace(-50, 50, control.heads * control.size).view(1, control.heads, control.size)
        ranged = control.range(emitted)
        assert ranged.shape == emitted.shape and torch.isfinite(ranged).all()


def test_a_scheme_is_a_frozen_value(scheme: Scheme) -> None:
    assert type(scheme)() == type(scheme)()
    assert hash(scheme) == hash(scheme)
    with pytest.raises(AttributeError):
        scheme.read_heads = 2  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_is_listed_under_its_name_which_cannot_be_another(name: str) -> None:
    scheme: Any = SCHEMES[name]()
    assert scheme.name == SCHEMES[name].name == name
    assert fields(scheme)[-1].name == "name" and "name=" not in repr(scheme)
    with pytest.raises(InputError, match=f"^`name` of {name}: "):
        replace(scheme, name="another")
