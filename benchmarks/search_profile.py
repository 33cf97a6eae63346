"""Where a search's time goes, node by node: ``OMP_NUM_THREADS=1 python -m benchmarks.search_profile``.

Both lists, in the published shape and in a causal one with one decoder layer, with random weights and IDs, run by ONNX
Runtime's profiler. Nodes are grouped by what they do; a group's share is of the sum of the nodes' median times. The
profiler adds some microseconds to every node, so groups of many small nodes are smaller than they look. Prints a JSON
line for each shape and beam width.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from benchmarks.contestants import NO_EDGES, Items, Request, exported, random_generator, tokens_of
from benchmarks.search import SHAPES, SPACE, generated_items
from model.generator_shape import GeneratorShape
from model.slots import slot_inputs

PRODUCTS = {"MatMul", "FusedMatMul", "Gemm"}
KINDS = {
    "softmax and norms": {"Softmax", "LogSoftmax", "RMSNormalization"},
    "moving data": {"Concat", "Split", "Transpose", "Slice", "Gather", "GatherElements", "GatherND", "Expand", "Pad"},
    "shapes only": {"Reshape", "Unsqueeze", "Squeeze", "Shape", "Cast", "Range"},
    "best beams": {"TopK", "ScatterElements"},
    "products of attention": {"Attention"},
}


def kind_of(operator: str, inputs: int) -> str:
    """What a node does; ``inputs`` counts those that are no constants."""
    if operator in PRODUCTS:
        return "products with weights" if inputs == 1 else "products of attention"
    return next((kind for kind, operators in KINDS.items() if operator in operators), "arithmetic of each number")


def feed_of(items: Items, shape: GeneratorShape, request: Request) -> dict[str, NDArray[Any]]:
    """The graph's inputs."""
    tokens, lists, edges = tokens_of(items, shape, request), len(request.modalities), len(items.trie.child_code)
    return {
        "tokens": tokens,
        "history": np.arange(lists) % len(tokens),
        "modality": np.array(request.modalities, dtype=np.int64),
        "child_start": items.trie.child_start,
        "child_code": items.trie.child_code,
        "edge_allowed": np.ones(edges, dtype=np.bool_),
        "edge_cold": np.zeros(edges, dtype=np.bool_),
        "dead_edges": np.full((lists, items.space.levels, 1), NO_EDGES, dtype=np.int32),
        "beam": np.zeros(request.beam, dtype=np.int64),
        **slot_inputs(items.trie.fan_outs),
    }


def profile(path: Path, feed: dict[str, NDArray[Any]], rounds: int) -> dict[str, Any]:
    """Shares and numbers of nodes by kind, and milliseconds of all nodes together."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = str(path)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for each in session.get_inputs():
        if each.name == "past":
            # Causal shapes go on from states, of which there are none here.
            feed = feed | {"past": np.zeros((len(feed["tokens"]), 0, each.shape[2]), dtype=np.float32)}
    for _ in range(rounds):
        session.run(None, feed)
    times: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in json.loads(Path(session.end_profiling()).read_text()):
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            arguments = event["args"]
            kind = kind_of(arguments["op_name"], len(arguments["input_type_shape"]))
            times[kind, event["name"]].append(event["dur"])
    seconds, nodes = Counter[str](), Counter[str]()
    for (kind, _), taken in times.items():
        seconds[kind] += round(statistics.median(taken))
        nodes[kind] += 1
    whole = seconds.total()
    return {
        "nodes": nodes.total(),
        "nodes_ms": round(whole / 1e3, 2),
        "share": {kind: round(each / whole, 3) for kind, each in seconds.most_common()},
        "nodes_of": {kind: nodes[kind] for kind, _ in seconds.most_common()},
    }


def main() -> None:
    """Reads the command line and prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--beam", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    items = generated_items(arguments.items, seed=0)
    history = np.random.default_rng(0).choice(arguments.items, 20, replace=False)
    for name in (next(iter(SHAPES)), list(SHAPES)[-1]):
        generator = random_generator(SPACE, *SHAPES[name], seed=0)
        with tempfile.TemporaryDirectory() as folder:
            path = exported(generator, items, Path(folder))
            for beam in arguments.beam:
                feed = feed_of(items, generator.config.shape, Request(history, (0, 1), beam))
                found = profile(path, feed, arguments.rounds)
                sys.stdout.write(
                    json.dumps({"benchmark": "search_profile", "shape": name, "beam": beam} | found) + "\n"
                )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
