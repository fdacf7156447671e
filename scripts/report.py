"""Write the report of a run: python scripts/report.py RUN [options]."""

from mann.cli import run

if __name__ == "__main__":
    run("report")
