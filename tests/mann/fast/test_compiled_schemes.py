"""Addressing schemes compiled, against the plain unrolling."""

import pytest
import torch

from mann.addressing import SCHEMES
from mann.fast.compiled_unrolling import CompiledUnrolling
from mann.models.unrolling import plain
from tests.mann.fast.networks import build, sequence


# Other schemes do a part of what these do: content and location are parts of ntm, and ntm-lru is made of ntm and lrua,
# which test_compiled_unrolling.py compiles. Each compilation takes 10 to 20 seconds.
@pytest.mark.usefixtures("cxx_compiler")
@pytest.mark.parametrize("name", ["ntm", "sparse", "lru-soft", "dnc", "delta"])
def test_a_compiled_scheme_equals_the_plain_unrolling(name: str) -> None:
    network = build(SCHEMES[name](), "lstm", torch.float32)
    results = []
    for unroll in (plain, CompiledUnrolling()):
        network.unroll = unroll
        network.zero_grad()
        outputs, _ = network(sequence(6, 2, torch.float32))
        outputs.square().sum().backward()
        results.append([outputs.detach(), *(value.grad for value in network.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one, atol=1e-5 * max(1, float(one.abs().max())), rtol=1e-4)
