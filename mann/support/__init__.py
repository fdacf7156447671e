"""Tools without a subject of their own, for all packages above.

files:          files that are whole or absent, whatever interrupts their writing
messages:       errors of libraries as one line
seeds:          weights drawn with a seed, apart from the global random state
trees:          trees of tensors, such as the state of a network
denormals:      numbers that are too small to be computed with quickly
openmp:         how threads wait for each other
process_memory: the resident set size of this process, its peak, and what glibc keeps of freed memory
"""
