"""When a step is compiled, and for which sizes and threads."""

import random
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from mann.fast import lowering
from mann.fast.compiled_step import CompiledStep, interpreted
from mann.fast.products import transposed_storage
from mann.models.unrolling import affine
from tests.mann.fast.networks import counted, numbers


def recurrent(weights: Any, preactivations: Any, state: Any) -> Any:
    """A step with a recurrent weight [3, 3]."""
    hidden = affine(preactivations[0], state, weights[0]).tanh()
    return hidden, (state,), hidden


def test_without_gradients_only_sizes_that_are_compiled_already_run_compiled() -> None:
    unroll, traced = counted()
    calls = 0

    def step(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return recurrent(*arguments)

    weight, start = numbers(3, 3), numbers(2, 3)
    with torch.no_grad():
        expected, _ = unroll(step, (weight,), (numbers(7, 2, 3),), start)
    assert calls == 7 and not traced
    unroll(step, (weight.requires_grad_(),), (numbers(4, 2, 3),), start)
    calls = 0
    with torch.no_grad():
        features, _ = unroll(step, (weight,), (numbers(7, 2, 3),), start)
    assert calls == 0 and len(traced) == 1
    assert not features.requires_grad
    torch.testing.assert_close(features, expected)


def test_a_step_is_compiled_for_each_size_but_not_for_each_length() -> None:
    unroll, traced = counted()
    weights, counts = (numbers(3, 3).requires_grad_(),), []
    for time, batch in ((4, 2), (6, 2), (1, 2), (4, 3), (4, 2)):
        _, state = unroll(recurrent, weights, (numbers(time, batch, 3),), numbers(batch, 3))
        unroll(recurrent, weights, (numbers(2, batch, 3),), state)  # from the state of another call
        counts.append(len(traced))
    assert counts == [1, 1, 1, 2, 2]


def test_a_step_is_compiled_for_the_threads_that_share_a_call() -> None:
    unroll, traced = counted()
    for threads, batch in ((2, 4), (2, 3), (2, 3), (1, 3), (1, 2), (2, 4)):
        torch.set_num_threads(threads)
        unroll(recurrent, (numbers(3, 3).requires_grad_(),), (numbers(2, batch, 3),), numbers(batch, 3))
    # Of a batch of 4 each thread takes a half; one of 3 is taken whole by both.
    assert [(len(now[0]), threads) for _, _, now, _, threads in traced] == [(2, 1), (3, 2), (3, 1)]


def test_a_tensor_that_is_no_argument_of_the_step_is_refused() -> None:
    hidden = torch.ones(2, 3)

    def step(weights: Any, preactivations: Any, state: Any) -> Any:
        after = torch.addmm(preactivations[0], state, weights[0].T) * hidden
        return after, (state,), after

    with pytest.raises(AssertionError, match="FakeTensor"):
        CompiledStep(step, (torch.ones(3, 3),), (torch.ones(2, 3),), torch.zeros(2, 3), compiler=interpreted)


@pytest.mark.usefixtures("cxx_compiler")
def test_code_that_was_compiled_with_other_lowerings_is_not_taken_from_the_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weight, rows, start = torch.randn(3, 3), torch.randn(1, 2, 3), torch.randn(2, 3)
    factor = random.random()  # another one each time: code of this step is in no cache

    def step(*arguments: Any) -> Any:
        features, inputs, state = recurrent(*arguments)
        return factor * features, inputs, state

    def calls_torch() -> bool:
        compiled, features = CompiledStep(step, (weight,), (rows[0],), start), torch.empty(1, 2, 3)
        shard = compiled.forward_shard((transposed_storage(weight),), (rows,), (start,), features)
        with profile(activities=[ProfilerActivity.CPU], acc_events=True) as seen:
            compiled.forward.scan(range(1), [shard])
        expected = factor * (rows[0] + start @ weight.T).tanh()
        torch.testing.assert_close(features[0], expected, atol=1e-6, rtol=1e-5)
        # Compiled code calls torch's product without a record, but not the operations that this calls in turn.
        return any(event.name == "aten::resolve_conj" for event in seen.events() or ())

    with monkeypatch.context() as patched:
        patched.setattr(lowering, "LOWERINGS", {})
        patched.setattr(lowering, "TAG", "none")
        assert calls_torch()
    assert not calls_torch()


TRIED = """
import subprocess, sys
subprocess.check_call = lambda *args, **options: print("tried")
from mann.fast import torch_internals
from mann.fast.compiled_step import trusted_vectors
with trusted_vectors():
    print(sys.modules[torch_internals.VecISA.__module__].pick_vec_isa().bit_width())
"""


@pytest.mark.usefixtures("cxx_compiler")
def test_vectors_are_as_wide_as_the_processor_says_and_not_tried_out() -> None:
    widths = {"AVX512": "512", "AVX2": "256"}
    capability = torch.backends.cpu.get_cpu_capability()
    if capability not in widths:
        pytest.skip(f"says nothing of processors with {capability}")
    # In a process of its own: each finds out once.
    found = subprocess.run([sys.executable, "-c", TRIED], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [widths[capability]]
