"""Rebuild the papers' tables: python scripts/reproduce.py ROW ... [options]."""

from mann.cli import run

if __name__ == "__main__":
    run("reproduce")
