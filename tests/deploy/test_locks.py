"""The locks hold together: one version of each package, every file hashed, no torch where the service runs."""

import re
from typing import NamedTuple

import pytest

from tests.deploy.tools import ROOT

LOCKS = sorted(path.name for path in (ROOT / "requirements").glob("*.txt"))
SERVING = ("serve-cpu.txt", "serve-gpu.txt")


class Pin(NamedTuple):
    """A package at a version, for the environments that ``marker`` describes."""

    package: str
    version: str
    marker: str


def pins(lock: str) -> list[Pin]:
    """What a lock installs; every pin must be followed by its hashes."""
    requirements = (ROOT / "requirements" / lock).read_text().replace("\\\n", " ").splitlines()
    found = []
    for requirement in requirements:
        parts = re.fullmatch(
            r"([\w.-]+)==([\w.+!]+)(?: ; (.*?))?((?:\s+--hash=sha256:[0-9a-f]{64})+)", requirement.strip()
        )
        assert parts, f"{lock}: {requirement[:80]} is not pinned with hashes"
        found.append(Pin(parts[1], parts[2], parts[3] or ""))
    return found


def test_every_image_and_every_developer_has_a_lock() -> None:
    assert LOCKS == ["dev.txt", "serve-cpu.txt", "serve-gpu.txt", "torch.txt", "train.txt"]


def test_all_locks_agree_on_every_version() -> None:
    versions: dict[tuple[str, str], set[str]] = {}
    for lock in LOCKS:
        for pin in pins(lock):
            versions.setdefault((pin.package, pin.marker), set()).add(pin.version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


@pytest.mark.parametrize("lock", SERVING)
def test_the_service_installs_no_torch_and_one_onnxruntime(lock: str) -> None:
    packages = {pin.package for pin in pins(lock)}
    assert not packages & {"torch", "triton", "transformers", "scikit-learn", "onnx"}
    assert len(packages & {"onnxruntime", "onnxruntime-gpu"}) == 1


def test_torch_is_locked_apart() -> None:
    with_torch = [lock for lock in LOCKS if any(pin.package == "torch" for pin in pins(lock))]
    assert with_torch == ["torch.txt"]


def test_the_locks_hold_no_build_that_only_one_machine_has() -> None:
    assert [pin for lock in LOCKS for pin in pins(lock) if "+" in pin.version] == []


def test_the_gpu_service_brings_the_libraries_that_onnxruntime_loads() -> None:
    packages = {pin.package for pin in pins("serve-gpu.txt")}
    assert packages >= {"nvidia-cublas", "nvidia-cuda-runtime", "nvidia-cudnn-cu13", "nvidia-cufft", "nvidia-curand"}
