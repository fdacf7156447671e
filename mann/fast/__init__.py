"""The compiled unrolling of a network's steps over time: optional, and imported only by callers that want it.

    fast:   the unrolling to give to a network (`network.unroll = fast()`): compiled where that works, else plain

It computes what `mann.models.unrolling.plain` computes, up to rounding. The first training step of each batch size
takes 10 to 30 seconds longer, for compiling. docs/fast-path.md describes it for its maintainers. The parts:

    checked:            imports all others when a network first needs them; runs the plain way, with a warning, where
                        anything goes wrong
    equality:           compares a compiled step with the plain one before it is used
    torch_internals:    all names of torch that are not public
    compiled_unrolling: cuts a batch into shards and a sequence into segments; runs the step forward and backward
    compiled_step:      traces a step and its gradient once, cuts the trace into a forward and a backward graph, and
                        compiles each
    recomputation:      finds the states, such as memories, that are recomputed for the backward pass instead of saved
    lowering:           compiles small products, choices of slots and tanh to loops of this package (loops.h)
    scan:               what a graph reads and writes at each time: constants, rows, saved tensors, the carry
    native_scan:        calls a compiled graph for one time after another, from C++, a shard in each thread
    products:           the products of all steps at once: of the inputs before the steps, and of the weights' gradients
                        after the backward pass

    traced      one step and its gradient, with the batch of a shard
    saved       at each step, the tensors that its backward graph needs
    recomputed  a memory at each step, segment by segment, from the one at the start of the segment; long sequences only
    summed      the gradients of weights, in one product over all steps
"""

from mann.fast.checked import fast

__all__ = ["fast"]
