"""Models without an external memory, for comparison.

recurrent:  LSTM, GRU and feed-forward networks (Santoro et al. 2016)
prototypes: prototypical networks (Snell et al. 2017)
nearest:    nearest neighbours (Santoro et al. 2016, "KNN")
maml:       model-agnostic meta-learning (Finn et al. 2017), through learn2learn
"""
