"""Oracles: every equation of every scheme in float64 NumPy, by loops over single numbers, for one sequence.

memory: [slots, word_size]; keys, erases and adds of a head: [word_size]; weightings: [heads, slots] or [slots];
controls: by name, [heads, size]; states: by field. A step returns "memory", "write" (the write weights), "read" (the
read weights) and the fields of the new state.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy

from mann.addressing import DNC, LRUA, NTM, NTMLRU, Content, Location, LRUSoft, Sparse
from mann.addressing.dnc import SMALLEST
from mann.addressing.similarity import EPSILON

Array = numpy.ndarray
Arrays = dict[str, numpy.ndarray]
Row = Sequence[float] | numpy.ndarray


# Content addressing and memory access (Graves et al. 2014, sections 3.1 to 3.3.1).


def similarity(key: Row, word: Row, kind: str) -> float:
    """K[k, M(i)] of one pair, equation 6 for the cosine."""
    product = sum(k * m for k, m in zip(key, word, strict=True))
    if kind == "dot":
        return product
    if kind == "euclidean":
        return -math.sqrt(sum((k - m) ** 2 for k, m in zip(key, word, strict=True)) + EPSILON)
    return product / math.sqrt((sum(k * k for k in key) + EPSILON) * (sum(m * m for m in word) + EPSILON))


def softmax(row: Row) -> list[float]:
    """Softmax of one row."""
    largest = max(row)
    powers = [math.exp(value - largest) for value in row]
    return [power / sum(powers) for power in powers]


def content(key: Row, strength: float, memory: Array, kind: str) -> list[float]:
    """Equation 5 for one head."""
    return softmax([strength * similarity(key, word, kind) for word in memory])


def read(memory: Array, weights: Array) -> Array:
    """Equation 2: sum w(i) M(i) over slots; returns [heads, word_size]."""
    result = numpy.zeros((len(weights), memory.shape[1]))
    for head, slot, number in numpy.ndindex(*weights.shape, memory.shape[1]):
        result[head, number] += weights[head, slot] * memory[slot, number]
    return result


def retained(weights: Array, erase: Array) -> Array:
    """Equation 3: multiply 1 - w(i) e over heads; erase: [heads, word_size]; returns [slots, word_size]."""
    result = numpy.ones((weights.shape[1], erase.shape[1]))
    for head, slot, number in numpy.ndindex(*weights.shape, erase.shape[1]):
        result[slot, number] *= 1 - weights[head, slot] * erase[head, number]
    return result


def write(memory: Array, weights: Array, keep: Array, add: Array) -> Array:
    """Equations 3 and 4; keep: [slots, word_size or 1]; add: [heads, word_size]."""
    result = memory.copy()
    for slot, number in numpy.ndindex(*memory.shape):
        result[slot, number] *= keep[slot, number if keep.shape[1] > 1 else 0]
        for head in range(len(weights)):
            result[slot, number] += weights[head, slot] * add[head, number]
    return result


# Location addressing (section 3.3.2).


def interpolate(gate: float, content: Row, previous: Row) -> list[float]:
    """Equation 7 for one head."""
    return [gate * new + (1 - gate) * old for new, old in zip(content, previous, strict=True)]


def shift(weights: Row, shifts: Row) -> list[float]:
    """Equation 8 for one head: s(d) is the sum over all offsets that equal the distance d around the circle."""
    slots, largest = len(weights), len(shifts) // 2

    def probability(distance: int) -> float:
        return sum(shifts[place] for place in range(len(shifts)) if (place - largest) % slots == distance % slots)

    return [sum(weights[j] * probability(i - j) for j in range(slots)) for i in range(slots)]


def sharpen(weights: Row, power: float) -> list[float]:
    """Equation 9 for one head."""
    powers = [math.pow(weight, power) for weight in weights]
    return [value / sum(powers) for value in powers]


def ntm_address(
    scheme: NTM | Content | Location | NTMLRU, kind: str, controls: Arrays, memory: Array, previous: Array
) -> Array:
    """Figure 2 for all heads of a kind, as far as the scheme goes; previous: [heads, slots]."""
    result = []
    for head, before in enumerate(previous):
        weights = list(before)
        if not isinstance(scheme, Location):
            strength = controls[f"{kind}_strength"][head, 0]
            weights = content(controls[f"{kind}_key"][head], strength, memory, scheme.similarity)
        if isinstance(scheme, NTM | NTMLRU):
            weights = interpolate(controls[f"{kind}_gate"][head, 0], weights, before)
        if not isinstance(scheme, Content):
            weights = shift(weights, controls[f"{kind}_shift"][head])
            weights = sharpen(weights, controls[f"{kind}_sharpening"][head, 0])
        result.append(weights)
    return numpy.array(result)


def ntm_step(
    scheme: NTM | Content | Location, controls: Arrays, memory: Array, state: Arrays, read_first: bool = False
) -> Arrays:
    """Graves et al. 2014, with or without content or location."""
    heads = {"read": scheme.read_heads, "write": scheme.write_heads}
    nowhere = {kind: numpy.zeros((count, len(memory))) for kind, count in heads.items()}
    before = {kind: state.get(f"{kind}_weights", nowhere[kind]) for kind in heads}
    weights = ntm_address(scheme, "write", controls, memory, before["write"])
    written = write(memory, weights, retained(weights, controls["erase"]), controls["add"])
    reads = ntm_address(scheme, "read", controls, memory if read_first else written, before["read"])
    result = {"memory": written, "write": weights, "read": reads}
    return result if isinstance(scheme, Content) else {**result, "read_weights": reads, "write_weights": weights}


# Least recently used access (Santoro et al. 2016, section 3.2).


def ranked(usage: Row, count: int) -> list[int]:
    """Return the `count` least used slots, ties to the lower index."""
    return sorted(range(len(usage)), key=lambda slot: (usage[slot], slot))[:count]


def lru_write_weights(gate: Array, previous: Array, least: Array) -> Array:
    """w^w = g w^r + (1 - g) w^lu; gate: [heads, 1]; previous, least: [heads, slots]."""
    result = numpy.zeros_like(previous)
    for head, slot in numpy.ndindex(*previous.shape):
        result[head, slot] = gate[head, 0] * previous[head, slot] + (1 - gate[head, 0]) * least[head, slot]
    return result


def next_usage(usage: Row, decay: float, reads: Array, weights: Array) -> Array:
    """w^u = gamma w^u + w^r + w^w, summed over heads."""
    return numpy.array(
        [
            decay * usage[slot] + sum(head[slot] for head in reads) + sum(head[slot] for head in weights)
            for slot in range(len(usage))
        ]
    )


def own_slots(order: list[int], heads: int, slots: int) -> Array:
    """One-hot rows [heads, slots]: head j has the j-th slot of the order, from the start again after its end."""
    return numpy.array([[float(slot == order[head % len(order)]) for slot in range(slots)] for head in range(heads)])


def zeroed(slots: int, chosen: list[int]) -> Array:
    """Return [slots, 1]: 0 for the chosen slots, 1 elsewhere."""
    return numpy.array([[0.0 if slot in chosen else 1.0] for slot in range(slots)])


def lrua_step(scheme: LRUA, controls: Arrays, memory: Array, state: Arrays, read_first: bool = False) -> Arrays:
    """Santoro et al. 2016, under every option."""
    slots, previous = len(memory), state["read_weights"]
    order = ranked(state["usage"], min(scheme.read_heads, slots))
    writers = scheme.read_heads if scheme.write_heads == "each" else 1
    if scheme.write_heads == "one":
        previous = numpy.array([[sum(head[slot] for head in previous) / len(previous) for slot in range(slots)]])
    shared = numpy.array([[float(slot in order) for slot in range(slots)]] * writers)
    least = shared if scheme.least_used == "shared" else own_slots(order, writers, slots)
    weights = lru_write_weights(controls["gate"], previous, least)
    words = controls["add" if scheme.write_vector == "add" else "key"][:writers]
    written = write(memory, weights, zeroed(slots, order[:1] if scheme.zeroed == "one" else order), words)
    strengths = controls["strength"][:, 0] if scheme.key_strength else numpy.ones(scheme.read_heads)
    source = memory if read_first else written
    reads = numpy.array(
        [
            content(controls["key"][head], strengths[head], source, scheme.similarity)
            for head in range(scheme.read_heads)
        ]
    )
    usage = next_usage(state["usage"], scheme.usage_decay, reads, weights)
    return {"memory": written, "write": weights, "read": reads, "read_weights": reads, "usage": usage}


def ntm_lru_step(scheme: NTMLRU, controls: Arrays, memory: Array, state: Arrays, read_first: bool = False) -> Arrays:
    """Reads of the NTM, writes of LRUA."""
    slots, heads = len(memory), scheme.read_heads
    order = ranked(state["usage"], min(heads, slots))
    weights = lru_write_weights(controls["write_gate"], state["read_weights"], own_slots(order, heads, slots))
    written = write(memory, weights, zeroed(slots, order), controls["add"])
    reads = ntm_address(scheme, "read", controls, memory if read_first else written, state["read_weights"])
    usage = next_usage(state["usage"], scheme.usage_decay, reads, weights)
    return {"memory": written, "write": weights, "read": reads, "read_weights": reads, "usage": usage}


def soft_least_used(usage: Row, sharpness: float) -> list[float]:
    """w^lu = softmax(-lambda w^u)."""
    return softmax([-sharpness * value for value in usage])


def lru_soft_step(scheme: LRUSoft, controls: Arrays, memory: Array, state: Arrays, read_first: bool = False) -> Arrays:
    """LRUA with a softmax for the least used slot."""
    heads = scheme.read_heads
    least = soft_least_used(state["usage"], scheme.sharpness)
    weights = lru_write_weights(controls["gate"], state["read_weights"], numpy.array([least] * heads))
    written = write(memory, weights, numpy.array([[1 - share] for share in least]), controls["add"])
    source = memory if read_first else written
    reads = numpy.array(
        [
            content(controls["key"][head], controls["strength"][head, 0], source, scheme.similarity)
            for head in range(heads)
        ]
    )
    usage = next_usage(state["usage"], scheme.usage_decay, reads, weights)
    return {"memory": written, "write": weights, "read": reads, "read_weights": reads, "usage": usage}


# Sparse access memory (Rae et al. 2016).


def nearest(similarities: Row, count: int) -> list[int]:
    """Return the most similar slots, ties to the lower index."""
    return ranked([-value for value in similarities], count)


def sparse_weights(similarities: Row, strength: float, count: int) -> list[float]:
    """Softmax over the nearest slots, 0 elsewhere."""
    near = nearest(similarities, count)
    total = sum(math.exp(strength * similarities[slot]) for slot in near)
    return [math.exp(strength * value) / total if slot in near else 0.0 for slot, value in enumerate(similarities)]


def next_age(age: Row, reads: Array, weights: Array, threshold: float) -> list[float]:
    """One more, but 0 where any head's weight is above the threshold."""
    accessed = [any(w > threshold for w in (*reads[:, slot], *weights[:, slot])) for slot in range(len(age))]
    return [0.0 if yes else steps + 1 for steps, yes in zip(age, accessed, strict=True)]


def sparse_step(scheme: Sparse, controls: Arrays, memory: Array, state: Arrays, read_first: bool = False) -> Arrays:
    """Rae et al. 2016."""
    slots, heads = len(memory), scheme.read_heads
    oldest = ranked([-age for age in state["age"]], min(heads, slots))
    weights = lru_write_weights(controls["gate"], state["read_weights"], own_slots(oldest, heads, slots))
    weights = numpy.array([controls["write_gate"][head, 0] * weights[head] for head in range(heads)])
    written = write(memory, weights, zeroed(slots, oldest), controls["add"])
    source = memory if read_first else written
    reads = []
    for key, strength in zip(controls["key"], controls["strength"][:, 0], strict=True):
        similarities = [similarity(key, word, scheme.similarity) for word in source]
        reads.append(sparse_weights(similarities, strength, scheme.nearest))
    reads = numpy.array(reads)
    age = numpy.array(next_age(state["age"], reads, weights, scheme.threshold))
    return {"memory": written, "write": weights, "read": reads, "read_weights": reads, "age": age}


# Differentiable Neural Computer (Graves et al. 2016, Methods).


def retention(free_gates: Array, reads: Array) -> Array:
    """psi(i) = prod_r (1 - f_r w^r(i)); free_gates: [heads]."""
    return numpy.array([math.prod(1 - f * w for f, w in zip(free_gates, slot, strict=True)) for slot in reads.T])


def dnc_usage(usage: Row, weights: Row, retained: Row) -> Array:
    """u = (u + w - u w) psi; all [slots]."""
    return numpy.array([(u + w - u * w) * psi for u, w, psi in zip(usage, weights, retained, strict=True)])


def allocation(usage: Row) -> Array:
    """Go through the free list, the least used slot first."""
    result, product = numpy.zeros(len(usage)), 1.0
    for slot in ranked(usage, len(usage)):
        counted = SMALLEST + (1 - SMALLEST) * usage[slot]
        result[slot] = (1 - counted) * product
        product *= counted
    return result


def links(before: Array, precedence: Row, weights: Row) -> Array:
    """L(i, j) = (1 - w(i) - w(j)) L(i, j) + w(i) p(j), L(i, i) = 0; before: [slots, slots]."""
    result = numpy.zeros_like(before)
    for i, j in numpy.ndindex(*before.shape):
        if i != j:
            result[i, j] = (1 - weights[i] - weights[j]) * before[i, j] + weights[i] * precedence[j]
    return result


def precedence(before: Row, weights: Row) -> Array:
    """p(i) = (1 - sum_j w(j)) p(i) + w(i); both [slots]."""
    return numpy.array([(1 - sum(weights)) * p + w for p, w in zip(before, weights, strict=True)])


def masked(row: Row, mask: Row) -> list[float]:
    """Multiply number by number."""
    return [x * m for x, m in zip(row, mask, strict=True)]


def dnc_content(scheme: DNC, kind: str, head: int, controls: Arrays, memory: Array) -> list[float]:
    """Content weights of one head, with its mask if there is one."""
    key, strength = controls[f"{kind}_key"][head], controls[f"{kind}_strength"][head, 0]
    if scheme.masking:
        mask = controls[f"{kind}_mask"][head]
        key, memory = numpy.array(masked(key, mask)), numpy.array([masked(word, mask) for word in memory])
    return content(key, strength, memory, scheme.similarity)


def sharpened(row: Row, sharpness: float) -> list[float]:
    """Raise the shares of the largest to a power, and divide by their sum."""
    largest = max(row) + 1e-6
    powers = [((value + 1e-6) / largest) ** sharpness for value in row]
    return [power / sum(powers) for power in powers]


def dnc_step(scheme: DNC, controls: Arrays, memory: Array, state: Arrays, read_first: bool = False) -> Arrays:
    """Graves et al. 2016."""
    slots = len(memory)
    retained_shares = retention(controls["free_gate"][:, 0], state["read_weights"])
    usage = dnc_usage(state["usage"], state["write_weights"][0], retained_shares)
    found = dnc_content(scheme, "write", 0, controls, memory)
    mixed = interpolate(controls["allocation_gate"][0, 0], allocation(usage), found)
    weights = numpy.array([[controls["write_gate"][0, 0] * weight for weight in mixed]])
    keep = retained(weights, controls["erase"])
    if scheme.deallocation:
        keep = numpy.array(
            [[share * number for number in row] for share, row in zip(retained_shares, keep, strict=True)]
        )
    written = write(memory, weights, keep, controls["add"])
    linked = links(state["links"], state["precedence"], weights[0])
    source = memory if read_first else written
    reads = numpy.zeros((scheme.read_heads, slots))
    for head, before in enumerate(state["read_weights"]):
        mode, found = controls["read_modes"][head], dnc_content(scheme, "read", head, controls, source)
        backward = [sum(linked[i, slot] * before[i] for i in range(slots)) for slot in range(slots)]
        forward = [sum(linked[slot, j] * before[j] for j in range(slots)) for slot in range(slots)]
        if scheme.sharpness:
            backward = sharpened(backward, controls["link_sharpness"][head, 0])
            forward = sharpened(forward, controls["link_sharpness"][head, 1])
        for slot in range(slots):
            reads[head, slot] = mode[0] * backward[slot] + mode[1] * found[slot] + mode[2] * forward[slot]
    return {
        "memory": written,
        "write": weights,
        "read": reads,
        "read_weights": reads,
        "write_weights": weights,
        "usage": usage,
        "links": linked,
        "precedence": precedence(state["precedence"], weights[0]),
    }


STEPS: dict[str, Any] = {
    "ntm": ntm_step,
    "content": ntm_step,
    "location": ntm_step,
    "lrua": lrua_step,
    "ntm-lru": ntm_lru_step,
    "lru-soft": lru_soft_step,
    "dnc": dnc_step,
    "sparse": sparse_step,
}
"""The step of each scheme, by the scheme's name: (scheme, controls, memory, state, read_first) -> results by name."""
