"""Compiled and plain unrolling are equal: values, states and all gradients."""

import pytest
import torch

from mann.addressing import LRUA
from mann.fast import products
from mann.fast.compiled_step import inductor
from mann.fast.compiled_unrolling import RECOMPUTE_FROM, CompiledUnrolling, number_of_shards
from mann.models.unrolling import plain
from tests.mann.fast.networks import OWN, TRAINED, assert_equal, build, compiled_once, outcome, sequence, shards


@pytest.mark.usefixtures("cxx_compiler")
@pytest.mark.parametrize(
    ("scheme", "controller"), [pytest.param(TRAINED, "lstm", id="lstm"), pytest.param(OWN, "feedforward", id="ff")]
)
@pytest.mark.parametrize("number", [1, 2])
def test_a_compiled_step_equals_the_plain_unrolling(
    scheme: LRUA, controller: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "LOOPS_FROM", 1)
    network = build(scheme, controller, torch.float32)
    batch = 2 * number  # so that the code of a shard is the same for both numbers, and compiled once
    expected = outcome(network, plain, 7, batch, torch.float32)
    compile_step = compiled_once(inductor)
    for recompute_from in (RECOMPUTE_FROM, 0):
        unroll = CompiledUnrolling(compile_step, shards(number), recompute_from)
        assert_equal(expected, outcome(network, unroll, 7, batch, torch.float32), 1e-5)
        # Once more, now that everything is compiled, and without recording gradients.
        assert_equal(expected, outcome(network, unroll, 7, batch, torch.float32), 1e-5)
        with torch.no_grad():
            outputs, _ = network(sequence(7, batch, torch.float32))
        torch.testing.assert_close(outputs, expected.outputs[:7], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("batch", "threads", "expected"),
    [
        *[(16, 1, 1), (16, 2, 2), (16, 3, 2), (15, 4, 3), (7, 4, 1), (1, 8, 1), (4, 16, 4)],
        *[(32, 1, 1), (48, 1, 2), (64, 2, 2), (256, 2, 8), (96, 3, 3), (100, 2, 4), (62, 1, 2), (74, 1, 1), (74, 2, 2)],
    ],
)
def test_each_thread_has_as_many_equal_shards_of_a_batch(batch: int, threads: int, expected: int) -> None:
    torch.set_num_threads(threads)
    assert number_of_shards(batch, torch.device("cpu")) == expected
    assert number_of_shards(batch, torch.device("cuda")) == 1
