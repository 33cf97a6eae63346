"""Runs of a session over buffers that stay, which a GPU captures once for inputs of each size and then replays.

Hundreds of small kernels are launched one by one in a run, and by a single call in a replay, which reads and writes the
addresses of its capture. So what requests share, a trie, is read from buffers of its own: another one of the same sizes
is copied over it on the device before the first run that needs it. What a request brings is copied into the buffers of
its size.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

log = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]
Values = Mapping[str, ort.OrtValue]
Sizes = tuple[tuple[str, tuple[int, ...]], ...]

NO_GRAPH = -1
"""ONNX Runtime's name for a run that is neither captured nor replayed."""

MOST_GRAPHS = 64
"""Sizes that are captured, at most; a session keeps its graphs of hundreds of kernels for as long as it lives."""


class _Bound(NamedTuple):
    """Buffers for inputs of one size, and how a run uses them."""

    inputs: dict[str, ort.OrtValue]
    outputs: dict[str, ort.OrtValue]
    binding: ort.IOBinding
    options: ort.RunOptions


class CapturedRuns:
    """Runs one session, one run at a time; threads may share it.

    Inputs of a size that comes for the first time just run; they are captured when it comes again. On a CPU nothing is
    captured, but buffers are bound and reused likewise.
    """

    def __init__(self, session: ort.InferenceSession, device: str, outputs: Sequence[str]) -> None:
        """Runs ``session``, which must have been told to capture and works on ``device``, for ``outputs``."""
        self._session = session
        self._device = device
        self._outputs = list(outputs)
        self._running = threading.Lock()
        # While a thread captures, CUDA lets no other allocate or copy.
        self._capturing = threading.Lock()
        self._came: set[Sizes] = set()
        self._refused: set[Sizes] = set()
        self._bound: dict[Sizes, _Bound] = {}
        self._captured = 0
        self._shared: dict[str, ort.OrtValue] = {}
        self._held: Values = {}
        self._uncaptured = _options(NO_GRAPH)

    @property
    def graphs(self) -> int:
        """Sizes whose runs are replayed."""
        return len(self._bound)

    def place(self, array: NDArray[Any]) -> ort.OrtValue:
        """An array on the device."""
        with self._capturing:
            return ort.OrtValue.ortvalue_from_numpy(array, self._device, 0)

    def run(self, shared: Values, own: Arrays) -> dict[str, NDArray[Any]]:
        """One run, of which each output has its name.

        Args:
            shared: inputs that many runs have in common, where :meth:`place` put them. Other contents cost a copy on
                the device; other sizes cost all captures.
            own: the other inputs, which should be of few sizes.
        """
        sizes = tuple((name, array.shape) for name, array in own.items())
        with self._running:
            self._hold(shared)
            if sizes in self._bound:
                return self._replay(self._bound[sizes], own)
            found = self._capture(sizes, own) if self._is_due(sizes) else None
            return _on_host(self._run_once(self._placed(own))) if found is None else found

    def _is_due(self, sizes: Sizes) -> bool:
        """Whether inputs of a size are to be captured now."""
        if self.graphs == MOST_GRAPHS or sizes in self._refused:
            return False
        came_before = sizes in self._came
        self._came.add(sizes)
        return came_before

    def _capture(self, sizes: Sizes, own: Arrays) -> dict[str, NDArray[Any]] | None:
        """A run that is captured; None if that fails, after which inputs of this size just run."""
        try:
            bound = self._bind(own)
            with self._capturing:
                found = self._replay(bound, own)
        except Exception:
            log.exception("searches of a size cannot be captured", extra={"sizes": dict(sizes)})
            self._refused.add(sizes)
            return None
        self._bound[sizes] = bound
        return found

    def _hold(self, shared: Values) -> None:
        """Copies what is not there yet into the buffers of shared inputs; into new ones if the sizes are others."""
        missing = {name: value for name, value in shared.items() if self._held.get(name) is not value}
        if not missing:
            return
        # Should a copy fail, what the buffers hold is not known.
        self._held = {}
        if any(
            name not in self._shared or self._shared[name].shape() != each.shape() for name, each in missing.items()
        ):
            self._came.clear()
            self._bound.clear()
            missing, self._shared = dict(shared), {name: self._buffer_like(value) for name, value in shared.items()}
        for name, value in missing.items():
            self._shared[name].update_inplace(value)
        self._held = shared

    def _bind(self, own: Arrays) -> _Bound:
        """Buffers for inputs of such sizes and for what a run makes of them."""
        inputs = {name: self._buffer_like(value) for name, value in self._placed(own).items()}
        outputs = {name: self._buffer_like(value) for name, value in self._run_once(self._placed(own)).items()}
        binding = self._session.io_binding()
        for name, value in (self._shared | inputs).items():
            binding.bind_ortvalue_input(name, value)
        for name, value in outputs.items():
            binding.bind_ortvalue_output(name, value)
        self._captured += 1
        return _Bound(inputs, outputs, binding, _options(self._captured))

    def _replay(self, bound: _Bound, own: Arrays) -> dict[str, NDArray[Any]]:
        """A run over bound buffers; the first one captures."""
        for name, array in own.items():
            if array.size:
                bound.inputs[name].update_inplace(array)
        self._session.run_with_iobinding(bound.binding, bound.options)
        return _on_host(bound.outputs)

    def _run_once(self, own: Values) -> dict[str, ort.OrtValue]:
        """A run whose outputs are where it leaves them."""
        found = self._session.run_with_ort_values(self._outputs, {**self._shared, **own}, self._uncaptured)
        return dict(zip(self._outputs, found, strict=True))

    def _placed(self, own: Arrays) -> dict[str, ort.OrtValue]:
        """Inputs of one run on the device."""
        return {name: self.place(array) for name, array in own.items()}

    def _buffer_like(self, value: ort.OrtValue) -> ort.OrtValue:
        """A buffer on the device of a value's size and type."""
        return ort.OrtValue.ortvalue_from_shape_and_type(value.shape(), value.element_type(), self._device, 0)


def _on_host(values: Values) -> dict[str, NDArray[Any]]:
    """Copies that stay as they are when the buffers change; a value on the CPU would be seen through."""
    return {name: np.array(value.numpy()) for name, value in values.items()}


def _options(graph: int) -> ort.RunOptions:
    """Options of the runs of one captured graph."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    return options
