"""Measure trained models: python scripts/evaluate.py RUN ... [options]."""

from mann.cli import run

if __name__ == "__main__":
    run("evaluate")
