from pathlib import Path

import numpy as np
import pytest

from training.memory import peak_memory_mib, reset_peak_memory


def test_the_peak_stays_after_memory_is_freed() -> None:
    reset_peak_memory()
    before = peak_memory_mib()
    block = np.ones(80 * 2**20, dtype=np.uint8)
    del block
    assert peak_memory_mib() >= before + 60


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this kernel's peak cannot be reset")
def test_a_reset_forgets_an_earlier_peak() -> None:
    block = np.ones(120 * 2**20, dtype=np.uint8)
    peak = peak_memory_mib()
    del block
    reset_peak_memory()
    assert peak_memory_mib() <= peak - 60
