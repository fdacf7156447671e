"""Oracles of the schemes whose keys are feature vectors or whose words hold a key, like those in `oracles`."""

import math

import numpy

from mann.addressing import MLSTM, Append, Delta, GatedSlots
from tests.mann.addressing.oracles import Array, Arrays, Row, read, softmax, write


def dot(left: Row, right: Row) -> float:
    """Return the sum of products."""
    return sum(x * y for x, y in zip(left, right, strict=True))


def followed(key: Row, share: float, last_query: Row) -> list[float]:
    """(1 - f) k + f q, number by number."""
    return [(1 - share) * k + share * q for k, q in zip(key, last_query, strict=True)]


def placed(numbers: Array, slots: int) -> Array:
    """Head h of H has the slots from h ceil(N / H) on: [heads, ceil(N / H)] -> [heads, slots]."""
    heads, size = len(numbers), math.ceil(slots / len(numbers))
    result = numpy.zeros((heads, slots))
    for head in range(heads):
        for place in range(size):
            if head * size + place < slots:
                result[head, head * size + place] = numbers[head, place]
    return result


def root_mean_square(row: Row) -> float:
    """Return the root of the mean square, with a millionth."""
    return math.sqrt(sum(x * x for x in row) / len(row) + 1e-6)


def unit_reads(queries: Array, memory: Array) -> Array:
    """Divide each query by the root mean square of what it reads."""
    sizes = [root_mean_square(words) for words in read(memory, queries)]
    return numpy.array([[q / size for q in query] for query, size in zip(queries, sizes, strict=True)])


def delta_features(scheme: Delta, numbers: Array, slots: int) -> Array:
    """Normalise the keys or queries of each head."""
    result = placed(numbers, slots) if scheme.memories == "own" else numbers.copy()
    for head, row in enumerate(result):
        size = sum(row) + 1e-8 if scheme.keys == "simplex" else math.sqrt(sum(x * x for x in row) + 1e-8)
        result[head] = [x / size for x in row]
    return result


def delta_decays(scheme: Delta, controls: Arrays, slots: int) -> list[float]:
    """Return the share of each slot that is left."""
    if scheme.decay == "none":
        return [1.0] * slots
    blocks = scheme.read_heads if scheme.memories == "own" else 1
    size, decay = math.ceil(slots / blocks), controls["decay"]
    return [decay[slot // size, 0 if scheme.decay == "number" else slot % size] for slot in range(slots)]


def delta_step(scheme: Delta, controls: Arrays, memory: Array, state: Arrays, read_first: bool = False) -> Arrays:
    """Schlag et al. 2021 and its relatives, under every option; all corrections from the decayed memory."""
    slots, word_size = memory.shape
    queries = delta_features(scheme, controls["query"], slots)
    keys = delta_features(scheme, controls["key"], slots)
    if scheme.follow:
        for head in range(len(keys)):
            keys[head] = followed(keys[head], controls["follow"][head, 0], state["query"][head])
    decays = delta_decays(scheme, controls, slots)
    decayed = numpy.array([[decay * number for number in word] for decay, word in zip(decays, memory, strict=True)])
    written = decayed.copy()
    for head, key in enumerate(keys):
        for number in range(word_size):
            found = dot(key, decayed[:, number]) if scheme.rule == "delta" else 0.0
            change = controls["rate"][head, 0] * (controls["value"][head, number] - found)
            for slot in range(slots):
                written[slot, number] += key[slot] * change
    reads = unit_reads(queries, memory if read_first else written) if scheme.normalise == "rms" else queries
    return {"memory": written, "write": keys, "read": reads, "query": queries}


def bound_word(controls: Arrays, follow: bool, last_query: Array) -> list[float]:
    """Return the word [key, value] to write."""
    word, size = controls["word"][0], last_query.shape[1]
    key = followed(word[:size], controls["follow"][0, 0], last_query[0]) if follow else list(word[:size])
    return [*key, *word[size:]]


def gated_slots_step(
    scheme: GatedSlots, controls: Arrays, memory: Array, state: Arrays, read_first: bool = False
) -> Arrays:
    """Zhang et al. 2024."""
    gates, size = controls["gate"][0], state["query"].shape[1]
    weights = numpy.array([[1 - a for a in gates]])
    word = numpy.array([bound_word(controls, scheme.follow, state["query"])])
    written = write(memory, weights, numpy.array([[a] for a in gates]), word)
    source = memory if read_first else written
    reads = numpy.array([softmax([dot(query, row[:size]) for row in source]) for query in controls["query"]])
    return {"memory": written, "write": weights, "read": reads, "query": controls["query"][:1]}


def append_step(scheme: Append, controls: Arrays, memory: Array, state: Arrays, read_first: bool = False) -> Arrays:
    """Vaswani et al. 2017, over the slots that were written."""
    slots, size = len(memory), state["query"].shape[1]
    place = int(state["next_slot"].argmax())
    written, marks = memory.copy(), state["written"].copy()
    written[place], marks[place] = bound_word(controls, scheme.follow, state["query"]), 1
    source, present = memory if read_first else written, [slot for slot in range(slots) if marks[slot] == 1]
    reads = numpy.zeros((scheme.read_heads, slots))
    for head, query in enumerate(controls["query"]):
        reads[head, present] = softmax([dot(query, source[slot, :size]) / math.sqrt(size) for slot in present])
    rows = numpy.eye(slots)
    return {
        "memory": written,
        "write": rows[[place]],
        "read": reads,
        "next_slot": rows[(place + 1) % slots],
        "written": marks,
        "query": controls["query"][:1],
    }


def mlstm_step(scheme: MLSTM, controls: Arrays, memory: Array, state: Arrays, read_first: bool = False) -> Arrays:
    """Beck et al. 2024, with a block of the slots for each head."""
    slots, word_size = memory.shape
    heads, size = scheme.read_heads, math.ceil(slots / scheme.read_heads)
    queries, keys = placed(controls["query"], slots), placed(controls["key"], slots)
    written, weights = memory.copy(), numpy.zeros((heads, slots))
    normaliser, stabiliser = numpy.zeros((heads, slots)), numpy.zeros((heads, 1))
    reads = numpy.zeros((heads, slots))
    for head in range(heads):
        if scheme.follow:
            keys[head] = followed(keys[head], controls["follow"][head, 0], state["query"][head])
        log_forget = -math.log1p(math.exp(-controls["forget"][head, 0])) + state["stabiliser"][head, 0]
        largest = max(log_forget, controls["input"][head, 0])
        forget, take_in = math.exp(log_forget - largest), math.exp(controls["input"][head, 0] - largest)
        stabiliser[head] = largest
        weights[head] = [take_in * k / math.sqrt(size) for k in keys[head]]
        normaliser[head] = [forget * n + w for n, w in zip(state["normaliser"][head], weights[head], strict=True)]
        for slot in range(head * size, min(slots, (head + 1) * size)):
            written[slot] = [forget * memory[slot, number] for number in range(word_size)]
        divisor = max(abs(dot(normaliser[head], queries[head])), math.exp(-largest)) + 1e-6
        reads[head] = [q / divisor for q in queries[head]]
    written = write(written, weights, numpy.ones((slots, 1)), controls["value"])
    if scheme.normalise == "rms":
        reads = unit_reads(reads, memory if read_first else written)
    after = {"query": queries, "normaliser": normaliser, "stabiliser": stabiliser}
    return {"memory": written, "write": weights, "read": reads, **after}


STEPS = {"delta": delta_step, "gated-slots": gated_slots_step, "append": append_step, "mlstm": mlstm_step}
"""One step of each scheme, by its name."""
