"""Compare: python scripts/benchmark.py BENCHMARK [options]."""

from mann.cli import run

if __name__ == "__main__":
    run("benchmark")
