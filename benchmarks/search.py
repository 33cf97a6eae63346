"""The search against others with the same weights: ``python -m benchmarks.search``.

One process, one thread (run with OMP_NUM_THREADS=1), random weights of the published sizes, random IDs. In every round
a history is drawn and all contestants search it in turn, so that whatever else the machine does falls on all alike;
each a few times over, for the first time finds the caches filled by another:

- graph: this project, one ONNX graph in fp32, run by the service's engine
- torch eager: the module that the graph is exported from
- Hugging Face: ``generate`` with ``prefix_allowed_tokens_fn``, one call for each list; the naive reference
- CTranslate2 with int8 weights and no trie, if it is installed (``pip install ctranslate2``)

A JSON line for each case has medians and 95th percentiles in milliseconds; ``times``, the median over the rounds of a
contestant's time by the graph's; how far each result is from Hugging Face's; and the floor (:mod:`benchmarks.floor`).
Then come other shapes of the generator, with other weights, each against Hugging Face on the published shape; causal
ones also where all items of the history but the last were encoded for an earlier request ("states kept"). The same is
written as tables to stderr, or to the file of ``--markdown``.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.contestants import (
    INT8,
    Contestant,
    ContinuedGraph,
    Graph,
    HuggingFace,
    Items,
    Request,
    contestants,
    exported,
    has_ctranslate2,
    int8_graph,
    random_generator,
)
from benchmarks.floor import Floor, floor, products
from benchmarks.overlap import overlap
from model.bundle import GENERATOR_INT8_FILE
from model.generator import Generator
from model.generator_shape import GeneratorShape
from model.semantic_ids import IdSpace
from model.transformer_config import TransformerSizes
from model.trie import build_trie
from service.engine import Engine
from service.large_pages import use_large_pages
from tests.hugging_face import as_t5
from training.onnx_search import Found, compare

SPACE = IdSpace(("text", "image"), levels=4, codes=256)
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
OURS, REFERENCE = "graph", "Hugging Face"
WARM_UP = 1
IN_A_ROW = 3
STATE_BYTES = 64 << 20
CAUSAL = GeneratorShape(position="item", causal=True, softmax="catalog", start="state")
SHAPES = {
    "published shape": (TransformerSizes(), GeneratorShape()),
    "positions of items, causal, softmax over the catalog": (TransformerSizes(), CAUSAL),
    "the same, 2 decoder layers": (TransformerSizes(decoder_layers=2), CAUSAL),
    "the same, 1 decoder layer": (TransformerSizes(decoder_layers=1), CAUSAL),
}


class Case(NamedTuple):
    """What is asked for."""

    items: int
    history: int
    lists: int
    beam: int


class Measured(NamedTuple):
    """Milliseconds of every search and the results of every round, by contestant."""

    times: dict[str, list[float]]
    found: dict[str, list[Found]]

    def summary(self) -> dict[str, Any]:
        """Medians, 95th percentiles, and what the others take by what ours takes."""
        ratios = {
            name: statistics.median(other / own for other, own in zip(taken, self.times[OURS], strict=True))
            for name, taken in self.times.items()
        }
        return {
            "p50_ms": {name: round(statistics.median(taken), 2) for name, taken in self.times.items()},
            "p95_ms": {name: round(float(np.percentile(taken, 95)), 2) for name, taken in self.times.items()},
            "times": {name: round(each, 2) for name, each in ratios.items() if name != OURS},
        }


def generated_items(items: int, seed: int) -> Items:
    """Items with random IDs."""
    codes = np.random.default_rng(seed).integers(0, SPACE.codes, (2, items, SPACE.levels), dtype=np.uint8)
    return Items(SPACE, codes, build_trie(codes))


def measure(
    all_contestants: Mapping[str, Contestant], case: Case, arguments: argparse.Namespace, clock: Callable[[], float]
) -> Measured:
    """Draws a history a round and has every contestant search it."""
    rounds, seed = arguments.rounds, arguments.seed
    rng = np.random.default_rng(seed)
    measured = Measured({name: [] for name in all_contestants}, {name: [] for name in all_contestants})
    for turn in range(-WARM_UP, rounds):
        history = rng.choice(case.items, case.history, replace=False)
        request = Request(history, tuple(range(case.lists)), case.beam)
        if turn == 0 and not arguments.small_pages:
            # As the service does with what it loaded; for the whole process, so for all contestants.
            use_large_pages()
        for name, contestant in all_contestants.items():
            for _ in range(IN_A_ROW):
                contestant.prepare(request)
                started = clock()
                result = contestant.run(request)
                taken = (clock() - started) * 1e3
                if turn >= 0:
                    measured.times[name].append(taken)
            if turn >= 0:
                measured.found[name].append(contestant.found(result, request))
    return measured


def parity(found: Mapping[str, list[Found]]) -> dict[str, dict[str, float]]:
    """How far each is from Hugging Face: scores, beams elsewhere that are no tie, and what the first ten share."""
    distances = {}
    for name, mine in found.items():
        if name == REFERENCE:
            continue
        pairs = list(zip(found[REFERENCE], mine, strict=True))
        references, others = (chain.from_iterable(each.nodes for each in side) for side in zip(*pairs, strict=True))
        distances[name] = {"overlap_at_10": overlap(references, others)}
        existing = statistics.mean(float((other.nodes >= 0).mean()) for _, other in pairs)
        if existing < 1:
            distances[name]["ids_that_exist"] = round(existing, 4)
            continue
        differences = [compare(*reference, *other) for reference, other in pairs]
        distances[name]["largest_score_difference"] = float(f"{max(each.score for each in differences):.2g}")
        distances[name]["misplaced_beams"] = sum(each.misplaced for each in differences)
    return distances


def against_others(items: Items, arguments: argparse.Namespace, folder: Path) -> list[Any]:
    """The published shape: every beam width, history and number of lists."""
    generator = random_generator(SPACE, *SHAPES["published shape"], arguments.seed)
    found = contestants(generator, items, Path(tempfile.mkdtemp(dir=folder)))
    lines = []
    for history, lists, beam in (
        (history, lists, beam) for history in arguments.history for lists in arguments.lists for beam in arguments.beam
    ):
        case = Case(items.codes.shape[1], history, lists, beam)
        measured = measure(found, case, arguments, CLOCKS[arguments.clock])
        least = floor(products(generator.config, lists, history, beam), CLOCKS[arguments.clock])
        lines.append(report("search", case, measured, least, parity=parity(measured.found)))
    return lines


def report(benchmark: str, case: Case, measured: Measured, least: Floor, **more: Any) -> dict[str, Any]:
    """Writes a JSON line and returns it."""
    summary = measured.summary()
    line = {"benchmark": benchmark, **case._asdict(), **summary, **more}
    line["floor"] = {
        "multiply_adds": round(least.multiply_adds, 4),
        "ms": round(least.milliseconds, 2),
        "gflops": round(least.rate),
        "graph_by_floor": round(summary["p50_ms"][OURS] / least.milliseconds, 2),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    return line


def against_shapes(items: Items, arguments: argparse.Namespace, folder: Path) -> list[Any]:
    """Every shape against Hugging Face on the published one."""
    lines = []
    published = random_generator(SPACE, *SHAPES["published shape"], arguments.seed)
    reference = HuggingFace(as_t5(published.transformer), items)
    for name, each in SHAPES.items():
        generator = random_generator(SPACE, *each, arguments.seed)
        path, shape = exported(generator, items, Path(tempfile.mkdtemp(dir=folder))), generator.config.shape
        rivals: dict[str, Contestant] = {
            OURS: Graph(Engine(path), items, shape),
            INT8: int8_graph(path, generator, items),
            REFERENCE: reference,
        }
        lines += _shape(name, generator, rivals, arguments, items)
        if shape.reads_items_causally:
            continued = {
                each: ContinuedGraph(Engine(file, state_bytes=STATE_BYTES), items, shape)
                for each, file in ((OURS, path), (INT8, path.with_name(GENERATOR_INT8_FILE)))
            }
            lines += _shape(f"{name}, states kept", generator, rivals | continued, arguments, items, kept=True)
    return lines


def _shape(
    name: str,
    generator: Generator,
    rivals: Mapping[str, Contestant],
    arguments: argparse.Namespace,
    items: Items,
    kept: bool = False,
) -> list[Any]:
    """One shape; if states are ``kept``, all items of a history but the last were encoded before."""
    lines, clock = [], CLOCKS[arguments.clock]
    for lists in arguments.lists:
        case = Case(items.codes.shape[1], max(arguments.history), lists, min(arguments.beam))
        measured = measure(rivals, case, arguments, clock)
        known = case.history - 1 if kept else 0
        least = floor(products(generator.config, lists, case.history, case.beam, known), clock)
        lines.append(report("shapes", case, measured, least, shape=name))
    return lines


def tables(lines: list[Any]) -> str:
    """The lines as Markdown tables, one for each benchmark."""
    text = []
    for benchmark in dict.fromkeys(line["benchmark"] for line in lines):
        rows = [line for line in lines if line["benchmark"] == benchmark]
        named = ["shape"] if benchmark == "shapes" else ["items", "history"]
        names = list(rows[0]["p50_ms"])
        columns = [*named, "lists", "beam", *(f"{name}: ms (p95)" for name in names)]
        columns += [*(f"{name} by {OURS}" for name in rows[0]["times"]), "floor, ms", f"{OURS} by floor"]
        text += [_row(columns), _row(["---"] * len(columns))]
        for line in rows:
            taken = [f"{line['p50_ms'][name]:.1f} ({line['p95_ms'][name]:.1f})" for name in names]
            ratios = [f"{each:.2f}" for each in line["times"].values()]
            least = [f"{line['floor']['ms']:.1f}", f"{line['floor']['graph_by_floor']:.2f}"]
            text.append(_row([*(f"{line[name]}" for name in [*named, "lists", "beam"]), *taken, *ratios, *least]))
        text.append("")
    return "\n".join(text) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Reads the command line, prints the JSON lines and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000])
    parser.add_argument("--history", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--lists", type=int, nargs="+", default=[1, 2], choices=[1, 2])
    parser.add_argument("--beam", type=int, nargs="+", default=[20, 50, 100])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    clock = "cpu: the time that the process runs, which other work on the machine takes less part in"
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help=clock)
    parser.add_argument("--no-shapes", action="store_true", help="leave the other shapes of the generator out")
    parser.add_argument("--small-pages", action="store_true", help="ask for no large pages")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not has_ctranslate2():
        sys.stderr.write("CTranslate2 is not installed (pip install ctranslate2): it is left out\n")
    lines: list[Any] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for items in map(partial(generated_items, seed=arguments.seed), arguments.items):
            lines += against_others(items, arguments, folder)
        if not arguments.no_shapes:
            lines += against_shapes(items, arguments, folder)
    text = tables(lines)
    if arguments.markdown:
        arguments.markdown.write_text(text)
    else:
        sys.stderr.write(text)


if __name__ == "__main__":
    main()
