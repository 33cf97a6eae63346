"""The least time that a search's matrix products take here: counted from shapes, each at its measured rate.

Every product that a request needs is run alone by numpy, torch and ONNX Runtime in turn, with its operands in the cache
and weights that stay; the fastest counts. Attention of beams to their own at most L codes is no matrix product and is
left out, as is all that is not arithmetic of the model.
"""

import statistics
import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from model.generator import GeneratorConfig

ROUNDS = 25
OPSET, IR_VERSION = 21, 10


class Product(NamedTuple):
    """A product of ``batch`` pairs ``(m, k)`` and ``(k, n)`` that is done ``times`` times; weights are no batch."""

    times: int
    batch: int
    m: int
    k: int
    n: int

    @property
    def multiply_adds(self) -> int:
        """Of all of them."""
        return self.times * self.batch * self.m * self.k * self.n


def products(config: GeneratorConfig, lists: int, items: int, beam: int, known: int = 0) -> list[Product]:
    """What one request needs: a history of ``items`` items, searched for ``lists`` lists with ``beam`` beams.

    Of the history the first ``known`` items were encoded before (a position must be an item then). With a position for
    an item all lists read one encoded history, with a position for a code each has its own.
    """
    sizes, space = config.sizes, config.space
    of_item = config.shape.position == "item"
    positions, encoded = (items, 1) if of_item else (items * space.levels, lists)
    new = positions - known
    rows = encoded * new
    d, inner, wide = sizes.d_model, sizes.inner, sizes.d_ff
    found = [
        Product(sizes.encoder_layers, 1, rows, d, 3 * inner),
        Product(sizes.encoder_layers, encoded * sizes.heads, new, sizes.d_head, positions),
        Product(sizes.encoder_layers, encoded * sizes.heads, new, positions, sizes.d_head),
        Product(sizes.encoder_layers, 1, rows, inner, d),
        Product(sizes.encoder_layers, 1, rows, d, wide),
        Product(sizes.encoder_layers, 1, rows, wide, d),
        Product(sizes.decoder_layers, 1, encoded * positions, d, 2 * inner),
    ]
    # The first step has one beam, the start.
    for steps, width in ((1, 1), (space.levels - 1, beam)):
        times, beams = steps * sizes.decoder_layers, lists * width
        found += [
            Product(times, 1, beams, d, 3 * inner),
            Product(2 * times, 1, beams, inner, d),
            Product(times, 1, beams, d, inner),
            Product(times, lists * sizes.heads, width, sizes.d_head, positions),
            Product(times, lists * sizes.heads, width, positions, sizes.d_head),
            Product(times, 1, beams, d, wide),
            Product(times, 1, beams, wide, d),
        ]
        if config.shape.softmax == "vocabulary":
            found.append(Product(steps, 1, beams, d, config.transformer().vocabulary))
        else:
            found.append(Product(steps, lists, width, d, space.codes))
    return found


class Floor(NamedTuple):
    """Multiply-adds of a request in billions, milliseconds that its products take alone, and the rate in GFLOP/s."""

    multiply_adds: float
    milliseconds: float
    rate: float


def floor(wanted: list[Product], clock: Callable[[], float] = time.perf_counter) -> Floor:
    """Measures every product now, so that a request measured beside it had the same machine."""
    seconds = sum(each.times * _fastest(each, clock) for each in wanted)
    billions = sum(each.multiply_adds for each in wanted) / 1e9
    return Floor(billions, seconds * 1e3, 2 * billions / seconds)


def _fastest(product: Product, clock: Callable[[], float]) -> float:
    """Median seconds of one product by the library that is fastest at it."""
    works = _works(product.batch, product.m, product.k, product.n)
    times: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, taken in zip(works, times, strict=True):
            started = clock()
            work()
            taken.append(clock() - started)
    return min(statistics.median(taken) for taken in times)


@cache
def _works(batch: int, m: int, k: int, n: int) -> list[Callable[[], object]]:
    """The product by each library, its result written where it was before."""
    rng = np.random.default_rng(0)
    left = rng.standard_normal((batch, m, k) if batch > 1 else (m, k), dtype=np.float32)
    right = rng.standard_normal((batch, k, n) if batch > 1 else (k, n), dtype=np.float32)
    out = np.empty((*left.shape[:-1], n), dtype=np.float32)
    tensors = torch.from_numpy(left), torch.from_numpy(right)
    return [
        lambda: np.matmul(left, right, out=out),
        lambda: torch.matmul(*tensors, out=torch.from_numpy(out)),
        _onnx_product(left, right, out),
    ]


def _onnx_product(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> Callable[[], object]:
    """A graph of one node; what is no batch has a constant on the right, which is packed once."""
    inputs = [helper.make_tensor_value_info("left", TensorProto.FLOAT, left.shape)]
    constants = [numpy_helper.from_array(right, "right")]
    if right.ndim > 2:
        inputs.append(helper.make_tensor_value_info("right", TensorProto.FLOAT, right.shape))
        constants = []
    node = helper.make_node("MatMul", ["left", "right"], ["out"])
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, out.shape)
    graph = helper.make_graph([node], "product", inputs, [output], constants)
    model: onnx.ModelProto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = {"left": left, "right": right}
    binding = session.io_binding()
    for each in inputs:
        binding.bind_ortvalue_input(each.name, onnxruntime.OrtValue.ortvalue_from_numpy(values[each.name]))
    binding.bind_ortvalue_output("out", onnxruntime.OrtValue.ortvalue_from_numpy(out))
    return lambda: session.run_with_iobinding(binding)
