"""Models: the memory network (a controller, a memory, an addressing scheme), encoders, classifiers and baselines.

network:       the memory network, used like torch.nn.LSTM
controllers:   LSTM, GRU, feed-forward, stacked
initial_state: memory, reads and weightings before the first step
lengths:       sequences of different lengths in one batch
unrolling:     running a step over time, and the protocol for it
encoders:      from an image to its features
classifier:    from label-offset episodes to answers
building:      from settings to a model
baselines:     models without an external memory
"""
