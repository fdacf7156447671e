"""The interface between a problem and the training loop."""

from typing import Any, NamedTuple, Protocol, TypeVar

from torch import Tensor, nn

Episodes = TypeVar("Episodes")


class Counts(NamedTuple):
    """Counts of each sequence and their totals; `counted / of`, both summed over sequences, is a mean or a fraction.

    Attributes:
        counted: [batch, counts], such as right answers by instance.
        of: [batch, counts], such as all answers by instance.
    """

    counted: Tensor
    of: Tensor


class Problem(Protocol[Episodes]):
    """A model and the episodes that it is trained on, as `mann.training.fit` needs them.

    Attributes:
        carry: The state that the sequences of the next step start from (persistent memory): a pytree of tensors without
            gradients, which `loss` replaces; None where each step starts from a blank memory.
    """

    carry: Any

    @property
    def model(self) -> nn.Module:
        """The model that is trained, on the device."""
        ...

    @property
    def description(self) -> str:
        """The problem in one line, for people."""
        ...

    @property
    def counts(self) -> int:
        """Number of counts of each sequence, the second dimension of `Counts`."""
        ...

    def episode(self, step: int) -> Episodes:
        """Return the training episodes of a step."""
        ...

    def loss(self, episode: Episodes) -> tuple[Tensor, Counts]:
        """Return the loss, [], a mean over sequences, and the counts."""
        ...

    def summary(self, step: int, means: list[float | None]) -> dict[str, Any]:
        """Return the mean of each count since the last line of metrics, by the names of that line.

        Args:
            step: The last step, from 0.
            means: Mean of each count; None where nothing was counted.
        """
        ...

    def validate(self) -> dict[str, Any]:
        """Return the figures of the validation, for a line of metrics."""
        ...
