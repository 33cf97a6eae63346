"""On a GPU the search finds what it finds on a CPU, and does its work there."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from model.exclusions import dead_edges, pack_dead_edges
from model.generator_shape import GeneratorShape
from model.semantic_ids import PAD
from model.trie import Trie
from service.engine import Engine
from service.search_rows import Leaves, SearchRows
from tests.bundles import ITEMS, MAX_HISTORY, SPACE, build_catalog, write_test_bundle
from training.onnx_search import compare

pytestmark = pytest.mark.gpu

PUBLISHED = GeneratorShape()
CAUSAL = GeneratorShape(position="item", causal=True, softmax="catalog", start="state", dense=True)
CATALOG = build_catalog()
WORK = {"MatMul", "FusedMatMul", "Gemm", "Attention", "Softmax", "LogSoftmax", "TopK"}


@pytest.fixture(scope="module", params=[PUBLISHED, CAUSAL], ids=["published", "causal"])
def of_shape(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_test_bundle(tmp_path_factory.mktemp("gpu") / "bundle", request.param)


def searched(engine: Engine, histories: int, beam: int, excluded: int, seed: int, trie: Trie = CATALOG.trie) -> Leaves:
    """What random histories, each searched in both lists, are answered with."""
    random = np.random.default_rng(seed)
    each = SPACE.levels * (len(SPACE.modalities) if engine.position == "item" else 1)
    tokens = random.integers(1, SPACE.first_prompt_token, (histories, MAX_HISTORY * each))
    for row in range(1, histories):
        tokens[row, each * random.integers(1, MAX_HISTORY + 1) :] = PAD
    forbidden = random.choice(ITEMS, excluded, replace=False)
    dead = [dead_edges(trie, modality, forbidden) for modality in range(len(SPACE.modalities))]
    rows = SearchRows(
        tokens,
        np.tile(np.arange(len(SPACE.modalities)), histories),
        np.tile(pack_dead_edges(dead), (histories, 1, 1)),
        beam,
        np.repeat(np.arange(histories), len(SPACE.modalities)),
    )
    return engine.search(engine.prepare(trie, np.ones(trie.items, dtype=np.bool_)), rows)


@pytest.mark.parametrize(("histories", "beam", "excluded"), [(1, 1, 0), (1, 20, 3), (4, 10, 0), (16, 5, 7)])
def test_order_and_scores_are_a_cpus(of_shape: Path, histories: int, beam: int, excluded: int) -> None:
    path = of_shape / "generator.onnx"
    cpu, gpu = (searched(Engine(path, name), histories, beam, excluded, seed=beam) for name in ("cpu", "cuda"))
    check(cpu, gpu)


def check(cpu: Leaves, gpu: Leaves) -> None:
    """The same leaves in the same order, but for ties, and the same scores."""
    difference = compare(cpu.leaves, cpu.scores, gpu.leaves, gpu.scores)
    assert difference.misplaced == 0
    assert difference.score < 1e-4
    if cpu.affinities is not None and gpu.affinities is not None:
        np.testing.assert_allclose(gpu.affinities, cpu.affinities, atol=1e-4)


def test_what_is_replayed_is_what_a_cpu_finds(of_shape: Path) -> None:
    """Other histories, widths, exclusions and tries over graphs that were captured with the first ones."""
    path, tries = of_shape / "generator.onnx", (CATALOG.trie, build_catalog(seed=5).trie)
    cpu, gpu = Engine(path, "cpu"), Engine(path, "cuda", capture=5)
    for seed in range(24):
        asked = (1 + seed % 2, (5, 20)[seed % 3 == 0], seed % 4, seed, tries[seed // 4 % 2])
        check(searched(cpu, *asked), searched(gpu, *asked))
    assert 0 < gpu.graphs < 24


def test_threads_may_place_tries_while_others_capture(of_shape: Path) -> None:
    cpu, gpu = Engine(of_shape / "generator.onnx", "cpu"), Engine(of_shape / "generator.onnx", "cuda", capture=20)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda seed: searched(gpu, 1 + seed % 4, 20, 2, seed), range(64)))
    for seed, leaves in enumerate(found):
        check(searched(cpu, 1 + seed % 4, 20, 2, seed), leaves)


def test_the_work_is_done_there(of_shape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators without a kernel fall back to the CPU unseen, with copies both ways."""
    plain = onnxruntime.SessionOptions

    def profiled() -> onnxruntime.SessionOptions:
        options = plain()
        options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
        return options

    monkeypatch.setattr(onnxruntime, "SessionOptions", profiled)
    engine = Engine(of_shape / "generator.onnx", "cuda")
    searched(engine, histories=2, beam=5, excluded=0, seed=0)
    events = json.loads(Path(engine._session.end_profiling()).read_text())
    nodes = [each["args"] for each in events if each["cat"] == "Node" and each["name"].endswith("_kernel_time")]
    elsewhere = Counter(each["op_name"] for each in nodes if each["provider"] != "CUDAExecutionProvider")
    assert not WORK & set(elsewhere)
