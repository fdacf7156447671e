"""Initial weights with which the heads of an NTM work like those of a tape machine from the first training step.

Random initial weights leave heads blurred and led half by content, and training finds sharp heads late or never. Here:

- *Write heads* move on by one slot at each step. Every word that they write begins with a marker, so that a controller
  without memory recognises a written word, whatever else it contains.
- *Read heads* are of two kinds. If there are several, the first one follows the write heads: it reads the word that was
  just written, which passes the last input and output on to the next step. The others depend on the start:

  "tape"       they stay at the first slot, which is never written and contains the start marker, with the opposite sign
               of the words' marker. They rather move forward than backward: the direction of a tape makes no
               difference to a task, and read and write heads that choose for themselves often choose opposite ones.
               The gate to their content addressing is nearly closed, and its key is the start marker: an open gate
               rewinds the head.
  "search"     they address by content.
  "recall"     they address the slot after the one found by content: what was written next.
  "recognise"  as "recall", and their keys are at first the words that are written, so that the input most similar to
               the current one is found from the first training step.
"""

from collections.abc import Mapping
from typing import Final

from torch import Tensor

# All values but the gains are biases, before the controls' ranges.

READ_GATE: Final = -5.0
"""Nearly closed gates, g = 0.007."""

WRITE_GATE: Final = -12.0
"""The write heads' gates are closed more firmly, g = 6e-6. While an answer is read nothing depends on them, and they
would drift open; the write head would then overwrite words that a longer answer still needs."""

SHARPENING: Final = 2.0
"""Sharp weightings, gamma = 3.1."""

SHIFT_FORWARD, SHIFT_STAY, SHIFT_BACKWARD = 4.0, 1.0, -6.0

WORD_MARKER: Final = 2.0
"""First number of every word that is written."""

START_MARKER: Final = -2.0
"""First number of the first slot (in the memory itself), and of the key of a read head that stays there."""

REWIND_STRENGTH: Final = 8.0
"""Key strength of that read head: an open gate takes it to the first slot."""

REWIND_SCALE: Final = 0.1
"""Factor on the controller's initial weights for that key and its strength: larger ones would change where it leads."""

WRITE_GAIN: Final = 0.02
"""Gain of the controls that move the write heads. As long as a read head can do nothing but stay at the first slot, the
gradient favours words that are written there, and would keep the write heads there too."""

SEARCH_GATE, SEARCH_STRENGTH, SEARCH_SHIFT = 3.0, 2.0, 2.0
"""Heads that address by content: g = 0.95, beta = 2.1, and a shift that is nearly certain."""

RECOGNISE_STRENGTH: Final = 6.0
"""Key strength where the keys are the words that are written, and so are useful from the first step."""


def initialise_tape(start: str, shift_range: int, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
    """Set the initial weights and biases of an NTM's controls in place; see the module's docstring.

    Args:
        start: "tape", "search", "recall" or "recognise".
        shift_range: Largest shift of a head in a step; with 0, no head moves on.
        weights: By control, [heads, size, hidden_size].
        biases: By control, [heads, size].
    """
    stay = shift_range
    forward = slice(stay + 1, stay + 2)  # empty without a shift
    followers = 1 if len(biases["read_gate"]) > 1 else 0
    biases["write_gate"].fill_(WRITE_GATE)
    biases["read_gate"].fill_(READ_GATE)
    for kind in ("write", "read"):
        biases[f"{kind}_sharpening"].fill_(SHARPENING)
        biases[f"{kind}_shift"][:, :stay] = SHIFT_BACKWARD
    biases["write_shift"][:, forward] = SHIFT_FORWARD
    biases["read_shift"][:followers, forward] = SHIFT_FORWARD
    biases["add"][:, 0] = WORD_MARKER
    if start == "tape":
        biases["read_shift"][followers:, stay] = SHIFT_STAY
        biases["read_key"][followers:, 0] = START_MARKER
        biases["read_strength"][followers:] = REWIND_STRENGTH
        for control in ("read_key", "read_strength"):
            weights[control][followers:] *= REWIND_SCALE
        return
    biases["read_shift"][followers:, stay if start == "search" else forward] = SEARCH_SHIFT
    biases["read_gate"][followers:] = SEARCH_GATE
    if start == "recognise":
        biases["read_strength"][followers:] = RECOGNISE_STRENGTH
        # All write heads are at the same slot, where their words are summed.
        weights["read_key"][followers:] = weights["add"].sum(0)
    else:
        biases["read_strength"][followers:] = SEARCH_STRENGTH
