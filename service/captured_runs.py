"""Runs of a session over buffers that stay, which a GPU captures once for inputs of each size and then replays.

Hundreds of small kernels are launched one by one in a run, and by a single call in a replay, which reads and writes the
addresses of its capture. So what requests share, a trie, is read from buffers of its own: another one of the same sizes
is copied over it on the device before the first run that needs it. What a request brings is copied into the buffers of
its size.
"""

import logging
import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.capture_gate import GATE

log = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]
Values = Mapping[str, ort.OrtValue]
Sizes = tuple[tuple[str, tuple[int, ...]], ...]

NO_GRAPH = -1
"""ONNX Runtime's name for a run that is neither captured nor replayed."""

MOST_GRAPHS = 256
"""Captures of a session in all: it keeps the graphs, of hundreds of kernels each, for as long as it lives."""

MOST_FAILURES = 3
"""Captures of a size that may fail before it is no longer tried."""

TRIES_AT_ONCE = 2
"""Sizes of shared inputs that have buffers: while a larger trie replaces another one, both are searched."""


class _Bound(NamedTuple):
    """Buffers for inputs of one size, and how a run uses them."""

    inputs: dict[str, ort.OrtValue]
    outputs: dict[str, ort.OrtValue]
    binding: ort.IOBinding
    options: ort.RunOptions


class _Buffers:
    """Buffers for shared inputs of some sizes, what they hold, and what is bound to them."""

    def __init__(self, shared: dict[str, ort.OrtValue]) -> None:
        self.shared = shared
        self.held: Values = {}
        self.bound: dict[Sizes, _Bound] = {}
        self.came: set[Sizes] = set()
        self.failures: Counter[Sizes] = Counter()

    def hold(self, shared: Values) -> None:
        """Copies what is not there yet."""
        missing = {name: value for name, value in shared.items() if self.held.get(name) is not value}
        if missing:
            # Should a copy fail, what the buffers hold is not known.
            self.held = {}
            for name, value in missing.items():
                self.shared[name].update_inplace(value)
            self.held = shared

    def is_due(self, sizes: Sizes) -> bool:
        """Whether inputs of a size came before and can be captured, as far as is known."""
        came_before = sizes in self.came
        self.came.add(sizes)
        return came_before and self.failures[sizes] < MOST_FAILURES


class CapturedRuns:
    """Runs one session, one run at a time; threads may share it.

    A size that comes for the first time just runs; it is captured when it comes again. On a CPU nothing is captured,
    but buffers are bound and reused likewise.

    All runs are made by a thread of their own: ONNX Runtime replays for each thread what that thread captured.
    """

    def __init__(self, session: ort.InferenceSession, device: str, outputs: Sequence[str]) -> None:
        """Runs ``session``, which must have been told to capture and works on ``device``, for ``outputs``."""
        self._session = session
        self._device = device
        self._outputs = list(outputs)
        self._thread = ThreadPoolExecutor(1, "captured-runs")
        self._buffers: OrderedDict[Sizes, _Buffers] = OrderedDict()
        self._captures = 0
        self._uncaptured = _options(NO_GRAPH)
        weakref.finalize(self, _let_go, [session, self._buffers]).atexit = False

    @property
    def graphs(self) -> int:
        """Sizes whose runs are replayed."""
        return sum(len(each.bound) for each in list(self._buffers.values()))

    def place(self, array: NDArray[Any]) -> ort.OrtValue:
        """An array on the device."""
        with GATE.use():
            return self._on_device(array)

    def run(self, shared: Values, own: Arrays, capture: bool) -> dict[str, NDArray[Any]]:
        """One run, of which each output has its name.

        Args:
            shared: inputs that many runs have in common, where :meth:`place` put them. Other contents cost a copy on
                the device; other sizes cost captures of their own.
            own: the other inputs.
            capture: whether their size is one of few, which may be captured.
        """
        return self._thread.submit(self._run, shared, own, capture).result()

    def _run(self, shared: Values, own: Arrays, capture: bool) -> dict[str, NDArray[Any]]:
        """A replay if the inputs' size is captured, else a run that is captured or not."""
        sizes = tuple((name, array.shape) for name, array in own.items())
        with GATE.use():
            buffers = self._buffers_of(shared)
            if sizes in buffers.bound:
                return self._replay(buffers.bound[sizes], own)
            if not capture or self._captures == MOST_GRAPHS or not buffers.is_due(sizes):
                return _on_host(self._run_once(buffers, own))
            bound = self._bind(buffers, own)
        found = self._capture(buffers, bound, sizes, own)
        if found is not None:
            return found
        with GATE.use():
            return _on_host(self._run_once(buffers, own))

    def _capture(self, buffers: _Buffers, bound: _Bound, sizes: Sizes, own: Arrays) -> dict[str, NDArray[Any]] | None:
        """The first run over bound buffers; None if others would not leave the GPU alone, or if it failed."""
        with GATE.capture() as is_alone:
            if not is_alone:
                return None
            self._captures += 1
            try:
                found = self._replay(bound, own)
            except Exception:
                log.exception("searches of a size could not be captured", extra={"sizes": dict(sizes)})
                buffers.failures[sizes] += 1
                return None
        buffers.bound[sizes] = bound
        if self._captures == MOST_GRAPHS:
            log.warning("no more sizes of searches are captured", extra={"captures": self._captures})
        return found

    def _buffers_of(self, shared: Values) -> _Buffers:
        """Buffers that hold shared inputs; of other sizes than the latest, those that were used last stay."""
        sizes = tuple((name, tuple(value.shape())) for name, value in shared.items())
        if sizes not in self._buffers:
            self._buffers[sizes] = _Buffers({name: self._buffer_like(value) for name, value in shared.items()})
            if len(self._buffers) > TRIES_AT_ONCE:
                self._buffers.popitem(last=False)
        self._buffers.move_to_end(sizes)
        self._buffers[sizes].hold(shared)
        return self._buffers[sizes]

    def _bind(self, buffers: _Buffers, own: Arrays) -> _Bound:
        """Buffers for inputs of such sizes and for what a run makes of them."""
        inputs = {name: self._buffer_like(self._on_device(array)) for name, array in own.items()}
        outputs = {name: self._buffer_like(value) for name, value in self._run_once(buffers, own).items()}
        binding = self._session.io_binding()
        for name, value in (buffers.shared | inputs).items():
            binding.bind_ortvalue_input(name, value)
        for name, value in outputs.items():
            binding.bind_ortvalue_output(name, value)
        return _Bound(inputs, outputs, binding, _options(self._captures + 1))

    def _replay(self, bound: _Bound, own: Arrays) -> dict[str, NDArray[Any]]:
        """A run over bound buffers; the first one captures."""
        for name, array in own.items():
            if array.size:
                bound.inputs[name].update_inplace(array)
        self._session.run_with_iobinding(bound.binding, bound.options)
        return _on_host(bound.outputs)

    def _run_once(self, buffers: _Buffers, own: Arrays) -> dict[str, ort.OrtValue]:
        """A run whose outputs are where it leaves them."""
        values = buffers.shared | {name: self._on_device(array) for name, array in own.items()}
        found = self._session.run_with_ort_values(self._outputs, values, self._uncaptured)
        return dict(zip(self._outputs, found, strict=True))

    def _on_device(self, array: NDArray[Any]) -> ort.OrtValue:
        """An array on the device, for those who are past the gate."""
        return ort.OrtValue.ortvalue_from_numpy(array, self._device, 0)

    def _buffer_like(self, value: ort.OrtValue) -> ort.OrtValue:
        """A buffer on the device of a value's size and type."""
        return ort.OrtValue.ortvalue_from_shape_and_type(value.shape(), value.element_type(), self._device, 0)


def _let_go(held: list[object]) -> None:
    """Frees what ended runs held, while nobody captures; on a thread of its own, for a capturing one may come here."""

    def free() -> None:
        with GATE.use():
            held.clear()

    threading.Thread(target=free, name="captured-runs-end").start()


def _on_host(values: Values) -> dict[str, NDArray[Any]]:
    """Copies that stay as they are when the buffers change; a value on the CPU would be seen through."""
    return {name: np.array(value.numpy()) for name, value in values.items()}


def _options(graph: int) -> ort.RunOptions:
    """Options of the runs of one captured graph."""
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    return options
