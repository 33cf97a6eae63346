"""The exported quantizer is the torch quantizer, for any number of modalities and any batch."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from model.errors import BundleError
from model.onnx_metadata import read_metadata
from model.quantizer import CrossModalQuantizer, QuantizerConfig
from training import onnx_quantizer
from training.onnx_quantizer import difference, export_quantizer
from training.onnx_search import open_graph

INPUTS = {"text": 10, "image": 7}
METADATA = {"space_hash": "abc"}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def random_quantizer(modalities: int, seed: int = 0) -> CrossModalQuantizer:
    """Random weights, a standardiser that does something and codebooks as wide as the latents."""
    torch.manual_seed(seed)
    names = tuple(INPUTS)[:modalities]
    inputs = tuple(INPUTS[name] for name in names)
    config = QuantizerConfig(
        modalities=names, inputs=inputs, levels=3, codes=16, projection=12, widths=(9, 8), latent=4
    )
    quantizer = CrossModalQuantizer(config)
    for index, width in enumerate(inputs):
        part = quantizer.part(index)
        part.standardiser.fit(torch.randn(width), torch.rand(width) + 1)
        torch.nn.init.normal_(part.quantizer.codebooks)
    return quantizer.eval()


def embeddings(quantizer: CrossModalQuantizer, rows: int, seed: int = 1) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(rows, width, generator=generator) * 3 for width in quantizer.config.inputs)


@pytest.fixture(scope="module", params=[1, 2])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[CrossModalQuantizer, Path]:
    quantizer = random_quantizer(request.param)
    path = tmp_path_factory.mktemp("quantizer") / "quantizer.onnx"
    export_quantizer(quantizer, embeddings(quantizer, rows=5), path, METADATA)
    return quantizer, path


@pytest.mark.parametrize("rows", [1, 2, 5, 64])
def test_the_graph_equals_torch_at_any_batch_size(exported: tuple[CrossModalQuantizer, Path], rows: int) -> None:
    quantizer, path = exported
    given = embeddings(quantizer, rows, seed=2)
    session = open_graph(path)
    names = quantizer.config.modalities
    feed = {name: embedding.numpy() for name, embedding in zip(names, given, strict=True)}
    for index, name in enumerate(names):
        with torch.no_grad():
            latent = quantizer.encode(index, given[index])
            quantized = quantizer.quantize(index, latent)
        outputs = [f"{name}_codes", f"{name}_distances", f"{name}_latent"]
        codes, distances, latents = session.run(outputs, feed)
        assert codes.dtype == np.int64
        assert codes.tolist() == quantized.codes.tolist()
        np.testing.assert_allclose(distances, quantized.distances.numpy(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(latents, latent.numpy(), rtol=1e-4, atol=1e-4)


def test_inputs_and_outputs_are_named_after_the_modalities(exported: tuple[CrossModalQuantizer, Path]) -> None:
    quantizer, path = exported
    session = open_graph(path)
    names = quantizer.config.modalities
    assert [(value.name, value.shape[1]) for value in session.get_inputs()] == [(n, INPUTS[n]) for n in names]
    outputs = [f"{name}_{output}" for name in names for output in ("codes", "distances", "latent")]
    assert [value.name for value in session.get_outputs()] == outputs


def test_modalities_may_have_different_numbers_of_rows(exported: tuple[CrossModalQuantizer, Path]) -> None:
    """A free batch size each would be a lie if the graph tied them together."""
    quantizer, path = exported
    given = [rows[: 2 + index] for index, rows in enumerate(embeddings(quantizer, rows=5))]
    feed = {name: rows.numpy() for name, rows in zip(quantizer.config.modalities, given, strict=True)}
    outputs = open_graph(path).run(None, feed)
    assert [len(output) for output in outputs] == [2 + index for index in range(len(given)) for _ in range(3)]


def test_the_metadata_can_be_read_without_onnx(exported: tuple[CrossModalQuantizer, Path]) -> None:
    assert read_metadata(exported[1]) == METADATA


@pytest.mark.parametrize("scale", [1.5, -1.0])
def test_a_graph_that_computes_something_else_is_refused(
    exported: tuple[CrossModalQuantizer, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    """The check must not pass whatever the exporter wrote: here it writes a graph with other weights."""
    quantizer, path = exported

    def write_other_weights(*arguments: object) -> None:
        model = onnx.load(path)
        for weight in model.graph.initializer:
            if weight.data_type == onnx.TensorProto.FLOAT:
                weight.CopyFrom(
                    onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(scale), weight.name)
                )
        onnx.save(model, str(tmp_path / "other.onnx"))

    monkeypatch.setattr(onnx_quantizer, "export_graph", write_other_weights)
    with pytest.raises(BundleError, match=r"other\.onnx"):
        export_quantizer(quantizer, embeddings(quantizer, rows=5), tmp_path / "other.onnx", METADATA)


def test_a_code_may_differ_only_where_two_codes_are_equally_near() -> None:
    codes = np.array([[0, 1], [1, 0]])
    distances = np.array([[[1.0, 1.0], [5.0, 4.0]], [[9.0, 3.0], [2.0, 8.0]]])
    latent = np.ones((2, 3))
    ours = (codes, distances, latent)
    tied = (np.array([[1, 0], [1, 0]]), distances * [[[1], [7]], [[1], [1]]], latent)
    assert difference(ours, tied) == 0, "what follows a tie belongs to other residuals"
    wrong = (np.array([[0, 1], [0, 0]]), distances, latent)
    assert difference(ours, wrong) == pytest.approx((9.0 - 3.0) / 9.0)
    assert difference(ours, (codes, distances, latent * 1.5)) == pytest.approx(0.5)
