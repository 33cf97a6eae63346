"""The engine says where it runs and what it was made for, or does not start."""

from pathlib import Path

import onnx
import onnxruntime
import pytest

from model.errors import BundleError, ConfigError
from service.engine import Engine
from tests.bundles import MAX_HISTORY, SPACE, SPACE_HASH
from tests.searches import Searches

needs_no_cuda = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this machine has CUDA"
)


def test_an_engine_knows_what_it_was_made_for(bundle: Path) -> None:
    engine = Engine(bundle / "generator.onnx")
    assert (engine.space, engine.space_hash, engine.max_history) == (SPACE, SPACE_HASH, MAX_HISTORY)
    assert engine.provider == "CPUExecutionProvider"


@needs_no_cuda
def test_cuda_that_is_not_there_is_an_error_unless_the_cpu_will_do(bundle: Path) -> None:
    with pytest.raises(ConfigError, match="CPUExecutionProvider where CUDAExecutionProvider was asked for"):
        Engine(bundle / "generator.onnx", provider="cuda")
    assert Engine(bundle / "generator.onnx", provider="cuda", allow_cpu=True).provider == "CPUExecutionProvider"


@needs_no_cuda
def test_a_cpu_that_stands_in_for_a_gpu_does_not_search_one_after_another(bundle: Path) -> None:
    searches = Searches(Engine(bundle / "generator.onnx", provider="cuda", allow_cpu=True, capture=20))
    for _ in range(3):
        searches.alone(searches.rows([1], [0, 1], []))
    assert searches.engine.graphs == 0


@pytest.mark.gpu
def test_on_a_gpu_the_search_runs_on_cuda(bundle: Path) -> None:
    assert Engine(bundle / "generator.onnx", provider="cuda").provider == "CUDAExecutionProvider"


def test_a_damaged_graph_is_named(tmp_path: Path) -> None:
    (tmp_path / "generator.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"generator\.onnx cannot be loaded"):
        Engine(tmp_path / "generator.onnx")


def test_a_graph_without_properties_is_named(bundle: Path, tmp_path: Path) -> None:
    model = onnx.load(bundle / "generator.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "generator.onnx")
    with pytest.raises(BundleError, match="does not say what it was made for"):
        Engine(tmp_path / "generator.onnx")


def test_a_graph_in_which_lists_cannot_share_a_history_is_named(bundle: Path, tmp_path: Path) -> None:
    model = onnx.load(bundle / "generator.onnx")
    next(each for each in model.graph.input if each.name == "history").name = "other"
    for node in model.graph.node:
        node.input[:] = ["other" if name == "history" else name for name in node.input]
    onnx.save(model, tmp_path / "generator.onnx")
    with pytest.raises(BundleError, match="every list read a history of its own: export it again"):
        Engine(tmp_path / "generator.onnx")
