"""The serving image has neither torch nor the training code."""

import subprocess
import sys
from pathlib import Path

FORBIDDEN = ("torch", "training", "onnx", "transformers", "sklearn", "pandas", "pyarrow", "scipy")
SCRIPT = f"""
import sys, service.app, service.__main__
sys.exit(", ".join(name for name in {FORBIDDEN} if name in sys.modules) or 0)
"""


def test_a_fresh_process_that_serves_has_loaded_nothing_of_training() -> None:
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
