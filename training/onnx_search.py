"""The search as one ONNX graph, and the proof that it equals the torch module that it was made from."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.beam_search import ConstrainedBeamSearch
from model.continued_search import ContinuedSearch, affinities_after
from model.errors import BundleError
from model.onnx_operators import OPSET
from model.slots import fan_outs, slot_inputs, slot_names

IR_VERSION = 10
INPUTS = (
    "tokens",
    "modality",
    "child_start",
    "child_code",
    "edge_allowed",
    "dead_edges",
    "beam",
    "edge_cold",
    "history",
)
OUTPUTS = ("nodes", "scores")
SCORE_TOLERANCE = 1e-4
TIE = 1e-5


class Found(NamedTuple):
    """Nodes and scores ``(B, W)`` of a search."""

    nodes: NDArray[np.int64]
    scores: NDArray[np.float32]

    def holds(self, row: int, node: int, score: float) -> bool:
        """Whether a row has ``node`` with a score within 1e-5 of ``score``."""
        return bool((np.abs(self.scores[row, self.nodes[row] == node] - score) <= TIE).any())


class Ran(NamedTuple):
    """What runs of a graph found, and the affinities ``(R, m, L, M)`` of each if it gives any."""

    found: list[Found]
    affinities: list[NDArray[np.float32]]


class Difference(NamedTuple):
    """How far ONNX is from torch.

    Attributes:
        score: the largest difference of scores, or of affinities in parts of the largest one.
        misplaced: beams that differ though they are no tie.
    """

    score: float
    misplaced: int


def export_search(
    search: ConstrainedBeamSearch, example: tuple[Tensor, ...], path: Path, metadata: Mapping[str, str]
) -> None:
    """Writes the graph; all but the number of levels is free: histories, tokens, rows, catalog, exclusions and beams.

    Behind INPUTS, and ``past`` if there is one, come ``slots_0`` to the last level's (:class:`CatalogInputs`).

    Where the shape allows it, the graph goes on from a history's states (:mod:`model.continued_search`): it has one
    more input, and answers states besides, and affinities if the generator scores whole items.

    Args:
        search: the module, in eval mode, on the CPU.
        example: inputs in the order of INPUTS, every dimension at least 2 so that none is taken for a constant.
        path: the file.
        metadata: goes into the file's properties.
    """
    free = torch.export.Dim.DYNAMIC
    levels = search.space.levels
    # Of different lengths, so that none is taken for another.
    slots, slots_free = [torch.arange(3 + level) for level in range(levels)], [{0: free}] * levels
    names = slot_names(levels)
    shapes: tuple[dict[int, Any], ...] = (
        {0: free, 1: free},
        {0: free},
        {0: free},
        {0: free},
        {0: free},
        {0: free, 2: free},
        {0: free},
        {0: free},
        {0: free},
    )
    if not search.shape.reads_items_causally:
        inputs = (*INPUTS, *names)
        export_graph(search, (*example, slots), path, metadata, inputs, OUTPUTS, (*shapes, slots_free))
        return
    continued = ContinuedSearch(search).eval()
    past = torch.zeros(len(example[0]), 2, continued.state_width)
    inputs, shapes_of_all = (*INPUTS, "past", *names), (*shapes, {0: free, 1: free}, slots_free)
    outputs = (*OUTPUTS, "states", *_dense_outputs(search))
    export_graph(continued, (*example, past, slots), path, metadata, inputs, outputs, shapes_of_all)


def _dense_outputs(search: ConstrainedBeamSearch) -> tuple[str, ...]:
    """What a graph answers of whole items' scores."""
    return ("affinities",) if search.shape.dense else ()


def export_graph(
    module: nn.Module,
    example: tuple[Any, ...],
    path: Path,
    metadata: Mapping[str, str],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    shapes: tuple[Any, ...],
) -> None:
    """Traces ``module`` and writes it with the IR version and opset that the serving runtime takes."""
    # It warns that torchvision, which nothing needs, is absent; importing torch set the level that is replaced here.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter warns of its own deprecated calls; nothing here can change them.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None, "the exporter returns a program when it writes no file itself"
    graph = program.model_proto
    graph.ir_version = IR_VERSION
    onnx.helper.set_model_props(graph, dict(metadata))
    onnx.save(graph, str(path))


def open_graph(path: Path) -> onnxruntime.InferenceSession:
    """A session on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def check_search(search: ConstrainedBeamSearch, path: Path, cases: list[tuple[Tensor, ...]]) -> Difference:
    """Runs both on the same inputs; a graph that goes on from states also in two steps.

    Raises:
        BundleError: if a score differs by more than 1e-4, or beams stand in another order though they are no tie.
    """
    session = open_graph(path)
    worst = Difference(0.0, 0)
    for case in cases:
        with torch.inference_mode():
            nodes, scores = (output.numpy() for output in search(*case))
        graph = _run_graph(search, session, case)
        for other in graph.found:
            found = compare(nodes, scores, *other)
            if found.misplaced:
                found = compare(nodes, scores, *other, _wider(search, case))
            worst = Difference(max(worst.score, found.score), worst.misplaced + found.misplaced)
        for each in graph.affinities:
            expected = affinities_after(search, case[0]).numpy()
            difference = float(np.abs(each - expected).max() / max(1.0, np.abs(expected).max()))
            worst = Difference(max(worst.score, difference), worst.misplaced)
    if worst.score > SCORE_TOLERANCE or worst.misplaced:
        raise BundleError(
            f"{path} is not the model that it was exported from: scores differ by up to {worst.score:.2g} "
            f"(allowed {SCORE_TOLERANCE}) and {worst.misplaced} beams stand elsewhere; do not serve it"
        )
    return worst


def _run_graph(search: ConstrainedBeamSearch, session: onnxruntime.InferenceSession, case: tuple[Tensor, ...]) -> Ran:
    """Runs the graph at once and, if it can go on, in two steps, parted before the shortest history's last item."""
    feed = {name: value.numpy() for name, value in zip(INPUTS, case, strict=True)}
    feed |= slot_inputs(fan_outs(feed["child_start"], search.space.levels))
    if not search.shape.reads_items_causally:
        return Ran([Found(*session.run(OUTPUTS, feed))], [])
    transformer = search.transformer
    feeds = [feed | {"past": np.zeros((len(case[0]), 0, transformer.state_width), dtype=np.float32)}]
    known = int(transformer.present(case[0]).sum(dim=1).min()) - 1
    if known > 0:
        cut = known * transformer.config.tokens_per_position
        (states,) = session.run(["states"], feeds[0] | {"tokens": feed["tokens"][:, :cut]})
        feeds.append(feed | {"tokens": feed["tokens"][:, cut:], "past": states})
    dense = _dense_outputs(search)
    ran = [session.run([*OUTPUTS, *dense], each) for each in feeds]
    return Ran([Found(*each[:2]) for each in ran], [each[2] for each in ran if dense])


def _wider(search: ConstrainedBeamSearch, case: tuple[Tensor, ...]) -> Found:
    """What the module finds with twice the beams."""
    beam = INPUTS.index("beam")
    wide = (*case[:beam], case[beam].repeat(2), *case[beam + 1 :])
    with torch.inference_mode():
        nodes, scores = (output.numpy() for output in search(*wide))
    return Found(nodes, scores)


def compare(
    nodes: NDArray[np.int64],
    scores: NDArray[np.float32],
    other_nodes: NDArray[np.int64],
    other_scores: NDArray[np.float32],
    wider: Found | None = None,
) -> Difference:
    """Compares two results ``(B, W)``; a beam may change places only with beams within 1e-5 of its score.

    Equals may stand on both sides of the cut of any level, where which of them goes on is a matter of rounding. So a
    beam's place may also be taken by a node that only a ``wider`` search finds, with a score within 1e-5 of the beam's.
    A node that comes twice in a row counts as misplaced.
    """
    if np.isnan(scores).any() or np.isnan(other_scores).any():
        return Difference(np.inf, scores.size)
    found = np.isfinite(scores)
    if not np.array_equal(found, np.isfinite(other_scores)):
        return Difference(np.inf, int((found != np.isfinite(other_scores)).sum()))
    score = float(np.abs(scores[found] - other_scores[found]).max(initial=0.0))
    misplaced = 0
    for row, beam in zip(*np.nonzero((nodes != other_nodes) & found), strict=True):
        ties = np.abs(scores[row] - scores[row, beam]) <= TIE
        # Among the last beams' equals, which of them were cut off is a matter of rounding too.
        node = other_nodes[row, beam]
        at_cut = wider is not None and wider.holds(row, node, scores[row, beam])
        misplaced += not (node in nodes[row, ties] or ties[-1] or at_cut)
    for row, row_found in zip(other_nodes, found, strict=True):
        misplaced += int(row_found.sum()) - len(np.unique(row[row_found]))
    return Difference(score, misplaced)
