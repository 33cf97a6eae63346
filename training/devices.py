"""Where training runs, and in which precision."""

from typing import Literal

import torch

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]


def pick_device(device: Device) -> torch.device:
    """The device itself; ``auto`` takes a GPU where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


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
