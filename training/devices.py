"""Where training runs, by which clock, and in which precision."""

import time
from collections.abc import Callable
from typing import Literal

import torch

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]


def pick_device(device: Device) -> torch.device:
    """The device itself; ``auto`` takes a GPU where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def training_clock(device: torch.device) -> Callable[[], float]:
    """Seconds from any start that count as training time: on the CPU those in which the calling thread runs.

    So what else a machine does takes nothing from a training that may take some minutes. A GPU works while the thread
    waits for it, so that there all seconds count.
    """
    return time.thread_time if device.type == "cpu" else time.monotonic


def mixed_precision(device: torch.device, precision: Precision) -> torch.autocast:
    """Autocast to bfloat16 where asked for, or with ``auto`` where the hardware multiplies it natively."""
    if precision == "auto":
        native = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_multiplies_bfloat16()
    else:
        native = precision == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=native)


def _cpu_multiplies_bfloat16() -> bool:
    flags = torch.backends.cpu.get_cpu_capability()
    return "AVX512" in flags and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
