"""Serving needs numpy, Pillow, pydantic and safetensors to encode, and nothing heavier."""

import subprocess
import sys
from pathlib import Path


def test_encoding_loads_no_training_library() -> None:
    script = (
        "import sys, model.encoders, model.imputation\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'transformers'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
