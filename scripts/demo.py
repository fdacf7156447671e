"""Draw characters and see a memory learn them: python scripts/demo.py [options]."""

from mann.cli import run

if __name__ == "__main__":
    run("demo")
