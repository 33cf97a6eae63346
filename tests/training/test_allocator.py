import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAULTS_OF_TEN_STEPS = """
import resource, torch
from training.allocator import keep_freed_memory

def step():
    held = [torch.ones(64, 1024) for _ in range(100)]

assert keep_freed_memory()
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES_OF_A_STEP = 100 * 64 * 1024 * 4 // 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the options are glibc's")
def test_what_a_step_freed_is_there_for_the_next_one() -> None:
    ran = subprocess.run([sys.executable, "-c", FAULTS_OF_TEN_STEPS], cwd=ROOT, capture_output=True, check=True)
    assert int(ran.stdout) < PAGES_OF_A_STEP
