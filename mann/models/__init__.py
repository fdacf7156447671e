"""Networks: a controller, a memory and a scheme that addresses it; encoders; what stands beside them.

controllers:   what drives the memory: LSTM, GRU, feed-forward, stacked
initial_state: memory, reads and weightings before the first step
network:       all of them together, used like torch.nn.LSTM
encoders:      from an image to what a network sees of it
classifier:    from label-offset episodes to answers
building:      from settings to a network
baselines:     models without an external memory
"""
