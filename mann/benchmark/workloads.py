"""The workloads of the speed comparison: networks and the sizes of their inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from mann.addressing import LRUA, NTM, Scheme


@dataclass(frozen=True)
class Workload:
    """A memory network with an LSTM controller, and the sizes of its inputs [time, batch, input_size].

    Attributes:
        about: The task that has these sizes, in words.
        time: Steps of a sequence.
        batch: Sequences in a batch.
        input_size: Numbers in an input.
        output_size: Numbers in an output.
        hidden_size: Units of the controller.
        slots: Memory locations.
        word_size: Numbers in a location.
        scheme: The addressing scheme.
    """

    about: str
    time: int
    batch: int
    input_size: int
    output_size: int
    hidden_size: int
    slots: int
    word_size: int
    scheme: Scheme

    def described(self) -> str:
        """Return the sizes as a sentence.

        >>> WORKLOADS["w2-1"].described().split(", ")[-2:]
        ['memory 128 x 20', 'NTM with 1 read head and 1 write head.']
        """
        counts = {kind: getattr(self.scheme, f"{kind}_heads", None) for kind in ("read", "write")}
        heads = [f"{count} {kind} head{'s'[: count != 1]}" for kind, count in counts.items() if isinstance(count, int)]
        return (
            f"{self.about}: batch {self.batch}, {self.time} steps, {self.input_size} inputs, {self.output_size} "
            f"outputs, LSTM {self.hidden_size}, memory {self.slots} x {self.word_size}, "
            f"{type(self.scheme).__name__} with {' and '.join(heads)}."
        )


ONE_SHOT: Final = Workload("one-shot classification", 50, 16, 405, 5, 200, 128, 40, LRUA(read_heads=4))
_COPY: Final = Workload("copy, length 20", 41, 1, 9, 8, 100, 128, 20, NTM(read_heads=1, write_heads=1))
_STRINGS: Final = replace(ONE_SHOT, about="15 classes labelled by strings", time=150, input_size=425, output_size=25)

WORKLOADS: Final[Mapping[str, Workload]] = {
    "w1": ONE_SHOT,
    "w1-64": replace(ONE_SHOT, batch=64),
    "w1-256": replace(ONE_SHOT, batch=256),
    "w2-1": _COPY,
    "w2-32": replace(_COPY, batch=32),
    "w3": _STRINGS,
    "w3-64": replace(_STRINGS, batch=64),
}
"""The workloads by name; docs/speed.md describes them."""


def quick(workload: Workload) -> Workload:
    """Return a tiny version of a workload: it runs the same code, and its times have no meaning."""
    return replace(workload, time=10, batch=min(2, workload.batch), hidden_size=16, slots=8, word_size=4)
