"""The search graph with its weights' products in eight bits: faster on a CPU, and no longer exact."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic


def quantize_search(source: Path, target: Path) -> None:
    """Writes the graph ``source`` to ``target`` with int8 weights, a scale for each output, and uint8 activations.

    An activation's scale is found while the graph runs, of all rows of the product at once, so that nothing is
    calibrated and what a row scores depends, in its last digits, on the rows beside it. Products of activations with
    each other (attention) and those that share the tokens' embedding with a lookup stay in float32, and so do the
    scores of all tokens that a softmax reads: they alone move as many items out of the first ten as all others.

    Args:
        source: a graph that :func:`training.onnx_search.export_search` wrote.
        target: the file to write; it has the inputs, the outputs and the properties of the other.
    """
    graph = onnx.load(str(source))
    properties = {entry.key: entry.value for entry in graph.metadata_props}
    # The exporter notes shapes of the example that do not hold for all inputs, and the quantizer believes them.
    del graph.graph.value_info[:]
    with tempfile.TemporaryDirectory() as folder, _silent():
        plain, folded, quantized = (Path(folder) / name for name in ("plain.onnx", "folded.onnx", "quantized.onnx"))
        onnx.save(graph, str(plain))
        _fold(plain, folded)
        parted = onnx.load(str(folded))
        left = _part_from_lookups(parted) + _read_by_softmax(parted)
        onnx.save(parted, str(folded))
        quantize_dynamic(
            folded,
            quantized,
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=left,
            extra_options={"MatMulConstBOnly": True},
        )
        result = onnx.load(str(quantized))
    onnx.helper.set_model_props(result, properties)
    onnx.save(result, str(target))


def _fold(source: Path, target: Path) -> None:
    """Works out what is constant: transposed weights are not seen as weights, and products of two as no product."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def _part_from_lookups(graph: onnx.ModelProto) -> list[str]:
    """Gives the Gemms weights of their own, for theirs are the tokens' embedding, which is looked up in, too.

    Returns:
        Names of the products that the quantizer, which makes MatMuls of Gemms and transposes their weights, is to
        leave as they are.
    """
    weights = {initializer.name: initializer for initializer in graph.graph.initializer}
    gemms = [node for node in graph.graph.node if node.op_type == "Gemm" and node.input[1] in weights]
    for node in gemms:
        own = graph.graph.initializer.add()
        own.CopyFrom(weights[node.input[1]])
        own.name = node.input[1] = f"{node.name}.weight"
    return [f"{node.name}_MatMul" for node in gemms]


def _read_by_softmax(graph: onnx.ModelProto) -> list[str]:
    """Names of the nodes that make what is normalised into log-probabilities."""
    read = {node.input[0] for node in graph.graph.node if node.op_type == "LogSoftmax"}
    return [node.name for node in graph.graph.node if read.intersection(node.output)]


@contextmanager
def _silent() -> Iterator[None]:
    """The quantizer tells the root logger of every product that it leaves as it is."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
