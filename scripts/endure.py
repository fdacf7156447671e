"""Run an endurance check: python scripts/endure.py CHECK [options]."""

import sys
from pathlib import Path

from mann.cli.failures import one_line_errors

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checks are test equipment, and not installed
    from tests.endurance.command import main

    with one_line_errors():
        sys.exit(main(sys.argv[1:]))
