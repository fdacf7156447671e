"""The implementations of a workload: the same network, weights and products, and reasons to be left out."""

import sys
import types
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mann.benchmark import implementations
from mann.benchmark.floor import Floor, matrix_products
from mann.benchmark.implementations import LeftOutError, build_implementation
from mann.benchmark.speed import SLOTS, cases
from mann.benchmark.workloads import WORKLOADS, Workload, quick
from mann.models.network import MemoryNetwork
from mann.models.unrolling import Plain, plain

CPU = torch.device("cpu")
TINY = quick(WORKLOADS["w1"])


@pytest.fixture(autouse=True)
def nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the compiled unrolling by another plain one: compilation takes longer than these tests."""
    monkeypatch.setattr(implementations, "CheckedUnrolling", lambda required: Plain())


def sizes_at_each_step(workload: Workload) -> list[tuple[int, ...]]:
    """Return the sizes of the floor's products at each step of the forward pass: rows, inner size, columns."""
    each = [product.args for product in matrix_products(workload, CPU).forward_each]
    return [(*left.shape, right.shape[-1]) for left, right in each]


def test_the_floor_has_the_products_of_the_workload() -> None:
    # The recurrent product, the interface (4 keys and gates), the write, the comparison and the read with 4 heads.
    assert sizes_at_each_step(WORKLOADS["w1"]) == [
        (16, 360, 800),
        (16, 200, 164),
        (16, 128, 4, 40),
        (16, 4, 40, 128),
        (16, 4, 128, 40),
    ]
    # One read head and one write head, both of which compare.
    assert sizes_at_each_step(WORKLOADS["w2-32"])[2:] == [(32, 128, 1, 20), (32, 2, 20, 128), (32, 1, 128, 20)]


def operations(call: Any) -> int:
    """Return the floating-point operations of the matrix products of a call."""

    def in_place(_: Any, left: Any, right: Any, *__: Any, **___: Any) -> int:
        return 2 * left[0] * left[1] * left[2] * right[2]

    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.baddbmm_: in_place}) as counter:
        call()
    return counter.get_total_flops()


@pytest.mark.parametrize("name", ["w1", "w2-32"])
def test_the_floor_computes_as_much_as_the_network(name: str) -> None:
    workload = quick(WORKLOADS[name])
    floor, reference = (build_implementation(kind, workload, CPU) for kind in ("floor", "reference"))
    assert operations(floor.forward) == operations(reference.forward)
    # The network computes no gradients of its constant initial state: it saves a few products of the first step.
    assert operations(floor.step) == pytest.approx(operations(reference.step), rel=0.02)


def test_the_numbers_of_the_floor_stay_finite() -> None:
    floor = Floor(TINY, CPU)
    for _ in range(40):
        floor.step()
    memory = floor.products.forward_each[2].func.__self__  # pyright: ignore[reportFunctionMemberAccess]
    assert torch.isfinite(memory).all() and memory.abs().max() < 1e3


@pytest.mark.parametrize("name", ["reference", "fast", "lstm"])
def test_a_step_trains_and_a_forward_call_does_not(name: str) -> None:
    before = torch.get_rng_state()
    implementation: Any = build_implementation(name, TINY, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    first = implementation.forward()
    assert torch.equal(implementation.forward(), first) and not first.requires_grad
    implementation.step()
    assert not torch.equal(implementation.forward(), first)
    same: Any = build_implementation(name, TINY, CPU)
    assert torch.equal(same.forward(), first)


def test_reference_and_fast_are_the_same_network() -> None:
    reference: Any = build_implementation("reference", TINY, CPU)
    compiled: Any = build_implementation("fast", TINY, CPU)
    assert torch.equal(reference.forward(), compiled.forward())
    assert isinstance(reference.network, MemoryNetwork) and reference.network.unroll is plain
    assert compiled.network.unroll is not plain


def test_without_a_compiler_fast_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementations, "has_compiler", lambda: False)
    with pytest.raises(LeftOutError, match="no compiler"):
        build_implementation("fast", TINY, CPU)


class FakeDNC(nn.Module):
    """Takes the arguments of the package's DNC; its outputs are as wide as its inputs."""

    def __init__(self, input_size: int, hidden_size: int, **sizes: Any):
        super().__init__()
        self.sizes = sizes
        self.layer = nn.Linear(input_size, input_size)

    def forward(self, inputs: torch.Tensor, reset_experience: bool) -> tuple[torch.Tensor, None]:
        assert reset_experience
        return self.layer(inputs), None


def test_the_dnc_package_gets_the_sizes_of_the_workload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dnc", types.SimpleNamespace(DNC=FakeDNC))
    implementation: Any = build_implementation("dnc", TINY, CPU)
    sizes = implementation.network.dnc.sizes
    assert (sizes["nr_cells"], sizes["cell_size"], sizes["read_heads"], sizes["gpu_id"]) == (8, 4, 4, -1)
    first = implementation.forward()
    implementation.step()
    assert not torch.equal(implementation.forward(), first)
    monkeypatch.setitem(sys.modules, "dnc", None)
    with pytest.raises(LeftOutError, match="pip install dnc"):
        build_implementation("dnc", TINY, CPU)


def test_an_implementation_that_does_not_fit_into_memory_is_left_out() -> None:
    growing = cases([], ["fast"], growth=True, small=False)
    large = next(case.workload for case in growing if case.curve == ("slots", SLOTS[-1]))
    with pytest.raises(LeftOutError, match=r"it would save some .* GiB for the backward pass, and .* GiB are avail"):
        build_implementation("dnc", large, CPU)
