"""Whatever goes wrong with compiling, a network runs, with one warning that says what it was."""

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from data.errors import InputError
from episodes.native import precompile, prepare
from mann import fast as package
from mann.addressing import LRUA
from mann.fast import fast, products, torch_internals
from mann.fast.checked import CheckedUnrolling
from mann.fast.compiled_step import CompiledStep, interpreted
from mann.fast.compiled_unrolling import CompiledUnrolling
from mann.fast.equality import MismatchError, require_equal
from mann.fast.native_scan import native_library
from mann.models.network import MemoryNetwork
from mann.models.unrolling import Unrolling, plain
from tests.mann.fast.networks import build, sequence


def private_names() -> list[tuple[str, str]]:
    """Return the (module, name) of all that `torch_internals` imports."""
    nodes = ast.walk(ast.parse(inspect.getsource(torch_internals)))
    found = [(node.module, alias.name) for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    return [(module, name) for module, name in found if module is not None]


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MANN_FAST", raising=False)


def network_with(unroll: Unrolling) -> MemoryNetwork:
    network = build(LRUA(read_heads=1), "feedforward", torch.float32)
    network.unroll = unroll
    return network


def training_step(network: MemoryNetwork) -> list[Tensor]:
    """Return the outputs, and the gradients of all weights."""
    network.zero_grad()
    outputs, _ = network(sequence(4, 2, torch.float32))
    outputs.square().sum().backward()
    return [outputs.detach(), *(value.grad for value in network.parameters() if value.grad is not None)]


def assert_plain_with_one_warning(unroll: Unrolling, cause: str) -> None:
    """Train two steps; the second says nothing any more."""
    network = network_with(unroll)
    with pytest.warns(UserWarning) as warned:
        found = [training_step(network) for _ in range(2)]
    (warning,) = warned
    message = str(warning.message)
    assert message.startswith("steps run uncompiled") and cause in message and "\n" not in message
    expected = training_step(network_with(plain))
    for one in found:
        torch.testing.assert_close(one, expected, atol=0, rtol=0)


def forget(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    """Take a name out of torch, and have what imports it imported anew."""
    home = importlib.import_module(module)
    if isinstance(getattr(home, name), ModuleType):
        monkeypatch.setitem(sys.modules, f"{module}.{name}", None)  # pyright: ignore
    monkeypatch.delattr(home, name)
    for loaded in [one for one in sys.modules if one.startswith(f"{package.__name__}.") and "checked" not in one]:
        monkeypatch.delitem(sys.modules, loaded)
        if hasattr(package, loaded.rpartition(".")[2]):
            monkeypatch.delattr(package, loaded.rpartition(".")[2])


@pytest.mark.usefixtures("cxx_compiler")
@pytest.mark.parametrize(("module", "name"), private_names())
def test_without_a_private_name_of_torch_a_network_trains(
    module: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(monkeypatch, module, name)
    assert_plain_with_one_warning(fast(), name)
    monkeypatch.setenv("MANN_FAST", "1")
    with pytest.raises(ImportError, match=name):
        training_step(network_with(fast()))


@pytest.fixture
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin and end without libraries that are loaded already."""

    def forget_libraries() -> None:
        for cached in (prepare, precompile, products.native_loops, native_library):
            cached.cache_clear()

    forget_libraries()
    yield
    forget_libraries()


@pytest.mark.usefixtures("nothing_compiled")
def test_without_a_compiler_a_network_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert_plain_with_one_warning(fast(), "no C++ compiler was found: install g++ or clang++")


@pytest.mark.usefixtures("nothing_compiled")
def test_with_a_compiler_that_fails_a_network_trains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'omp.h: fatal error: no such file' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    assert_plain_with_one_warning(fast(), "omp.h: fatal error")


@pytest.mark.usefixtures("cxx_compiler")
def test_products_that_are_wrong_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    right = products.weight_gradient
    monkeypatch.setattr(products, "weight_gradient", lambda *tensors: right(*tensors) * 1.01)
    assert_plain_with_one_warning(fast(), "compiled code differs from the plain way by 0.01")


def test_a_step_that_computes_something_else_is_not_used() -> None:
    def wrong(step: Any, *arguments: Any) -> CompiledStep:
        def other(*inputs: Any) -> Any:
            features, used, after = step(*inputs)
            return features * 1.01, used, after

        return CompiledStep(other, *arguments, compiler=interpreted)

    unroll = CheckedUnrolling(make=lambda: CompiledUnrolling(wrong))
    assert_plain_with_one_warning(unroll, "compiled code differs from the plain way by")


def test_states_that_are_recomputed_wrongly_are_not_used() -> None:
    class Wrong(CompiledStep):
        def recompute_shard(self, *arguments: Any, **options: Any) -> Any:
            shard = super().recompute_shard(*arguments, **options)
            return shard._replace(carry=tuple(one * 1.5 + 1 for one in shard.carry))

    compile_step = partial(Wrong, compiler=interpreted)
    unroll = CheckedUnrolling(make=lambda: CompiledUnrolling(compile_step, recompute_from=0))
    assert_plain_with_one_warning(unroll, "compiled code differs from the plain way by")


def test_an_error_after_the_comparison_is_an_error() -> None:
    network = network_with(
        CheckedUnrolling(make=lambda: CompiledUnrolling(partial(CompiledStep, compiler=interpreted)))
    )
    training_step(network)
    outputs, _ = network(sequence(4, 2, torch.float32))
    outputs.sum().backward()
    with pytest.raises(RuntimeError, match="a second time"):
        outputs.sum().backward()


@pytest.mark.usefixtures("nothing_compiled")
def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANN_FAST", "0")
    assert fast() is plain
    monkeypatch.setenv("MANN_FAST", "yes")
    with pytest.raises(InputError, match="MANN_FAST=yes means nothing: 0 turns compiling off"):
        fast()
    monkeypatch.setenv("MANN_FAST", "1")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(Exception, match="no C"):
        training_step(network_with(fast()))


def test_no_private_name_of_torch_is_anywhere_else() -> None:
    """An import of what has an underscore, or an attribute that has one, of a module of torch."""
    repository = Path(__file__).parents[3]
    for folder in ("mann", "data", "episodes", "scripts"):
        for path in (repository / folder).rglob("*.py"):
            if path.name == "torch_internals.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.ImportFrom(module=str(module)):
                        names = [f"{module}.{alias.name}" for alias in node.names]
                    case ast.Import():
                        names = [alias.name for alias in node.names]
                    case ast.Attribute():
                        names = [ast.unparse(node)]
                    case _:
                        continue
                private = [name for name in names if name.split(".")[0] in ("torch", "functorch") and "._" in name]
                assert not [name for name in private if "__" not in name], f"{path}: {private}"


def test_rounding_is_no_mismatch_and_anything_more_is() -> None:
    inputs = [torch.linspace(-1, 1, 7), torch.arange(3)]

    def square(x: Any) -> list[Tensor]:
        return [x[0] * x[0], x[1] + 1]

    require_equal(lambda x: [x[0].square() + 1e-6, x[1] + 1], square, inputs)
    wrong = {
        "a value": lambda x: [x[0].square() + 0.01, x[1] + 1],
        "a gradient": lambda x: [x[0].detach() * x[0], x[1] + 1],
        "a whole number": lambda x: [x[0] * x[0], x[1] + 2],
        "not a number": lambda x: [x[0] * x[0] * float("nan"), x[1] + 1],
        "infinite": lambda x: [x[0] * x[0] + float("inf"), x[1] + 1],
        "another size": lambda x: [(x[0] * x[0])[:1], x[1] + 1],
    }
    for name, run in wrong.items():
        with pytest.raises(MismatchError):
            require_equal(run, square, inputs)
            pytest.fail(name)


def test_where_rounding_decides_a_difference_is_no_mismatch() -> None:
    def chosen(x: Any, more: float) -> list[Tensor]:
        scores = x[0] * 3 - x[0] - x[0] - x[0] + more  # 0, but for rounding
        return [x[1][scores.argmax()][None] * 1]

    inputs = [torch.linspace(0.1, 0.9, 9), torch.arange(9.0)]
    require_equal(lambda x: [x[1][3][None] * 1], lambda x: chosen(x, 0.0), inputs)
