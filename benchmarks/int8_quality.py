"""What the eight-bit search loses on a trained model: HR@10 of each list, paired by user, and what the lists share.

    OMP_NUM_THREADS=1 python -m benchmarks.int8_quality --run runs/instruments

The folder has the stages ``prepare``, ``assign`` and ``generate``, as a run of ``python -m training`` has; a comparison
keeps those of a row in ``stages/NAME/FINGERPRINT``, and a folder of three links to them will do.

Both graphs search the trained IDs for the same test users; a hit is the target's own ID, seen items left in.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.contestants import Graph, Items, Request
from benchmarks.overlap import FIRST, overlap
from model.generator import Generator
from model.trie_walk import walk
from service.engine import Engine
from tests.bundles import export_generator, graph_properties
from training.generator_data import GeneratorData
from training.metrics import hits, paired_bootstrap
from training.onnx_int8 import quantize_search
from training.split import NO_ITEM, SplitConfig
from training.validation import draw_users, positions

EXAMPLES = 500


def measure(graphs: dict[str, Graph], data: GeneratorData, users: NDArray[np.int64], beam: int, longest: int) -> Any:
    """HR@10 of both graphs by modality, their difference with its interval, and the mean overlap of the first ten."""
    space, trie = data.space, data.trie
    histories, targets = data.split.histories(users, "test", longest), data.split.targets(users, "test")
    modalities = tuple(range(len(space.modalities)))
    found: dict[str, list[NDArray[np.int64]]] = {name: [] for name in graphs}
    for row in histories.items:
        request = Request(row[row != NO_ITEM].astype(np.int64), modalities, beam)
        for name, graph in graphs.items():
            found[name].append(graph.found(graph.run(request), request).nodes)
    report: dict[str, Any] = {"users": len(users), "beam": beam}
    for modality, title in enumerate(space.modalities):
        own = walk(trie, np.full(len(users), modality), data.codes[modality, targets]).node[-1]
        lists = {name: [nodes[modality] for nodes in each] for name, each in found.items()}
        hit = {name: hits(positions(each, own), FIRST) for name, each in lists.items()}
        exact, fast = graphs
        report[title] = {
            **{name: round(float(values.mean()), 5) for name, values in hit.items()},
            "difference": [round(each, 5) for each in paired_bootstrap(hit[fast], hit[exact])],
            "overlap_at_10": overlap(lists[exact], lists[fast]),
        }
    return report


def main() -> None:
    """Reads the command line and prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a run folder with prepare, assign and generate")
    parser.add_argument("--users", type=int, default=4000, help="how many are drawn; 0 takes all")
    parser.add_argument("--beam", type=int, default=20)
    arguments = parser.parse_args()
    data = GeneratorData.load(arguments.run / "prepare", arguments.run / "assign", SplitConfig())
    generator = Generator.load(arguments.run / "generate").eval()
    shape, longest = generator.config.shape, generator.config.max_history
    items = Items(data.space, data.codes, data.trie)
    with tempfile.TemporaryDirectory() as folder:
        exact, fast = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        properties = graph_properties(data.space, "0" * 16, longest) | {"history_position": shape.position}
        export_generator(generator, data.codes[:, :EXAMPLES], exact, properties)
        quantize_search(exact, fast)
        graphs = {path.stem: Graph(Engine(path), items, shape) for path in (exact, fast)}
        users = draw_users(data.split, arguments.users, 0)
        report = measure(graphs, data, users, arguments.beam, longest)
    sys.stdout.write(json.dumps({"benchmark": "int8_quality", "run": arguments.run.name, **report}) + "\n")


if __name__ == "__main__":
    main()
