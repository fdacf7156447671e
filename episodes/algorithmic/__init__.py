"""The algorithmic tasks."""
