"""Models without an external memory, for comparison.

recurrent:  LSTM, GRU and feed-forward networks (Santoro et al. 2016)
transformer: a causal Transformer with a cache of keys and values
delta_layers: a stack of delta-rule layers (Yang et al. 2024)
prototypes: prototypical networks (Snell et al. 2017)
nearest:    nearest neighbours (Santoro et al. 2016, "KNN")
maml:       model-agnostic meta-learning (Finn et al. 2017), through learn2learn

residual:   the blocks of transformer and delta_layers
"""
