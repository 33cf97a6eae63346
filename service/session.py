"""Opens a graph with ONNX Runtime, on the CPU or on a GPU."""

import io
import logging
from contextlib import redirect_stdout
from pathlib import Path

import onnxruntime as ort

from model.errors import BundleError
from service.capture_gate import GATE

log = logging.getLogger(__name__)

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
PRODUCTS_IN_TF32 = "0"
"""They are the default and have a tenth of a CPU's digits: scores would differ, and the order of near beams."""
ERRORS_ONLY = 3


def open_session(path: Path, provider: str, threads: int, capture: bool) -> ort.InferenceSession:
    """A session whose threads sleep while they wait: spinning would take the core from other requests.

    Args:
        path: the graph.
        provider: ``cpu`` or ``cuda``; where CUDA is not there, the session is on the CPU.
        threads: threads of one run.
        capture: whether CUDA is told to capture runs.

    Raises:
        BundleError: if the file is unreadable, or what it holds cannot be captured.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted: list[tuple[str, dict[str, str]]] = [(PROVIDERS["cpu"], {})]
    if provider == "cuda" and PROVIDERS["cuda"] in ort.get_available_providers():
        _find_cuda()
        wanted.insert(0, (PROVIDERS["cuda"], {"use_tf32": PRODUCTS_IN_TF32, "enable_cuda_graph": str(int(capture))}))
    try:
        with GATE.use():
            # Its fallback would open another session, on the CPU or without these options, in a session's place.
            return ort.InferenceSession(path, options, providers=wanted, enable_fallback=0)
    except Exception as error:
        raise BundleError(f"{path} cannot be loaded: {error}; export the bundle again") from error


def _find_cuda() -> None:
    """Loads CUDA's libraries from installed packages, where the linker would not look; a system's own it finds."""
    with redirect_stdout(io.StringIO()) as told:
        ort.preload_dlls()
    if told.getvalue():
        log.warning("CUDA's libraries are not all there", extra={"reason": told.getvalue().strip()})
