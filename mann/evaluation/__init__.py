"""How good a model is where it was not trained."""
