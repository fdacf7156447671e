"""Train a model: python scripts/train.py TASK [options]."""

from mann.cli import run

if __name__ == "__main__":
    run("train")
