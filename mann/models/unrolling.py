"""Running a step function over time: the protocol of an unrolling, and the plain one, which is the reference.

    features, last_state = unroll(step, weights, preactivations, state)

    weights         the weights that every step uses again, each [width, size]
    preactivations  one for each weight, [time, batch, width]: the term that is added to the product with that weight
                    and does not depend on the step before; after them, other numbers of each step
    state           a tree of tensors, each [batch, ...]
    step            one step: (weights, preactivations at t, state) -> (features, input of each weight, new state)
    features        [time, batch, ...]

A network holds an unrolling without knowing which: `plain` here, or the compiled one of `mann.fast`, which computes the
same. The compiled one needs more from a step than the plain one does, and so sets the rules: a step returns the input
that each weight was multiplied with, and no sequence of a batch depends on another.
"""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]

State = TypeVar("State")
"""What a step hands to the next: a tensor, or tuples of tensors, nested as deep as is needed."""

Step = Callable[[Tensors, Tensors, State], tuple[Tensor, Tensors, State]]
"""(weights, preactivations, state) -> (features, the input of each weight [batch, size], the new state)."""

Affine = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(bias, inputs, weight) -> bias + inputs weight^T."""


def affine(addend: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
    """Return addend + inputs weight^T.

    Args:
        addend: [rows, width] or [width].
        inputs: [rows, size].
        weight: [width, size].

    Returns:
        [rows, width].
    """
    return torch.addmm(addend, inputs, weight.T)


class Unrolling(Protocol):
    """Runs a step over time; see the module's docstring."""

    @property
    def affine(self) -> Affine:
        """Multiplies the inputs of all steps with a weight at once, before the steps are run."""
        ...

    def __call__(
        self, step: Step[State], weights: Tensors, preactivations: Tensors, state: State
    ) -> tuple[Tensor, State]:
        """Return the features of all steps, and the state after the last."""
        ...


class Plain:
    """One step after the other, nothing compiled.

    >>> import torch
    >>> def step(weights, preactivations, state):
    ...     hidden = affine(preactivations[0], state, weights[0]).tanh()
    ...     return hidden, (state,), hidden
    >>> features, last = plain(step, (torch.eye(3),), (torch.zeros(5, 2, 3),), torch.ones(2, 3))
    >>> features.shape, torch.equal(features[-1], last)
    (torch.Size([5, 2, 3]), True)
    """

    affine = staticmethod(affine)

    def __call__(
        self, step: Step[State], weights: Tensors, preactivations: Tensors, state: State
    ) -> tuple[Tensor, State]:
        """See `Unrolling`."""
        features = []
        for at_this_step in _step_by_step(preactivations):
            feature, _, state = step(weights, at_this_step, state)
            features.append(feature)
        return torch.stack(features), state


plain = Plain()


def _step_by_step(preactivations: Tensors) -> Iterable[Tensors]:
    """Return the preactivations of each step."""
    return zip(*(part.unbind(0) for part in preactivations), strict=True)
