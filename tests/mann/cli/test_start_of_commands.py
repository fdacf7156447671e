"""Commands start without the libraries that take long to import and that few of them need."""

import subprocess
import sys

COMMANDS = ("train", "evaluate", "report", "reproduce", "benchmark")
"""All but demo, whose page names images as the classifier of scikit-learn does."""
SLOW = ("sklearn", "scipy.stats", "torchvision", "torch._dynamo", "distributed")


def test_commands_start_without_the_slowest_libraries() -> None:
    imports = ", ".join(f"mann.cli.{name}" for name in COMMANDS)
    program = f"import sys, {imports}; print([name for name in {SLOW} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
