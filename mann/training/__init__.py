"""Training on episodes."""
