"""The quantizer's shape, its standardisation, its files, and that it leaves torch as an ONNX graph unchanged."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from model.assignment import nearest_codes
from model.errors import BundleError
from model.quantizer import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    CrossModalQuantizer,
    QuantizerConfig,
    Standardiser,
    load_quantizer,
)

SMALL = QuantizerConfig(
    modalities=("text", "image"), inputs=(5, 7), levels=3, codes=6, projection=8, widths=(6,), latent=4
)


def small_quantizer() -> CrossModalQuantizer:
    torch.manual_seed(0)
    model = CrossModalQuantizer(SMALL).eval()
    with torch.no_grad():
        for modality in range(2):
            model.part(modality).quantizer.codebooks.normal_()
    return model


def linear_widths(module: nn.Module) -> list[tuple[int, int]]:
    return [(layer.in_features, layer.out_features) for layer in module.modules() if isinstance(layer, nn.Linear)]


def test_the_default_sizes_are_the_papers_and_the_decoder_mirrors_the_encoder() -> None:
    config = QuantizerConfig(modalities=("text",), inputs=(40,))
    part = CrossModalQuantizer(config).part(0)
    widths = [40, 768, 2048, 1024, 512, 256, 128, 64, 32]
    assert linear_widths(part.encoder) == list(pairwise(widths))
    assert linear_widths(part.decoder) == list(pairwise(widths[::-1]))
    assert part.quantizer.codebooks.shape == (4, 256, 32)


def test_the_first_layer_and_the_last_of_encoder_and_decoder_have_no_activation() -> None:
    part = small_quantizer().part(0)
    kinds = [type(layer).__name__ for layer in part.encoder.modules() if not isinstance(layer, nn.Sequential)]
    assert kinds == ["Linear", "Linear", "ReLU", "Linear"]
    kinds = [type(layer).__name__ for layer in part.decoder.modules() if not isinstance(layer, nn.Sequential)]
    assert kinds == ["Linear", "ReLU", "Linear", "Linear"]


def test_standardising_centres_and_scales_but_keeps_the_geometry() -> None:
    rows = torch.tensor([[1.0, 100.0], [3.0, 100.5]])
    standardiser = Standardiser(2)
    torch.testing.assert_close(standardiser(rows), rows)
    standardiser.fit(rows.mean(0), rows.var(0, correction=0))
    out = standardiser(rows)
    torch.testing.assert_close(out.mean(0), torch.zeros(2))
    torch.testing.assert_close(out.var(0, correction=0).mean(), torch.tensor(1.0))
    torch.testing.assert_close((out[1] - out[0])[0] / (out[1] - out[0])[1], torch.tensor(4.0))


def test_constant_embeddings_are_not_divided_by_zero() -> None:
    standardiser = Standardiser(2)
    standardiser.fit(torch.ones(2), torch.zeros(2))
    assert standardiser(torch.ones(3, 2)).tolist() == [[0, 0]] * 3


def test_a_quantizer_comes_back_from_its_files(tmp_path: Path) -> None:
    model = small_quantizer()
    (tmp_path / CONFIG_FILE).write_text(SMALL.model_dump_json())
    save_file(model.state_dict(), tmp_path / WEIGHTS_FILE)
    loaded = load_quantizer(tmp_path)
    rows = torch.randn(9, 7)
    torch.testing.assert_close(loaded.encode(1, rows), model.encode(1, rows))


def _wrong_sizes(folder: Path) -> None:
    (folder / CONFIG_FILE).write_text(SMALL.model_copy(update={"codes": 9}).model_dump_json())


def _cut_short(folder: Path) -> None:
    (folder / WEIGHTS_FILE).write_bytes((folder / WEIGHTS_FILE).read_bytes()[:50])


@pytest.mark.parametrize("damage", [_wrong_sizes, _cut_short, lambda folder: (folder / CONFIG_FILE).unlink()])
def test_files_that_do_not_belong_together_are_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    (tmp_path / CONFIG_FILE).write_text(SMALL.model_dump_json())
    save_file(small_quantizer().state_dict(), tmp_path / WEIGHTS_FILE)
    damage(tmp_path)
    with pytest.raises(BundleError, match="quantize stage"):
        load_quantizer(tmp_path)


def test_the_numpy_rule_sees_the_same_codes_as_the_module() -> None:
    part = small_quantizer().part(0)
    latent = torch.randn(500, 4)
    greedy = nearest_codes(latent.numpy(), part.quantizer.codebooks.detach().numpy())
    np.testing.assert_array_equal(greedy.codes, part.quantize(latent).codes.numpy())


class Exported(nn.Module):
    """What serving needs of one modality."""

    def __init__(self, model: CrossModalQuantizer) -> None:
        super().__init__()
        self.part = model.part(0)

    def forward(self, embeddings: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        latent = self.part.encode(embeddings)
        quantized = self.part.quantize(latent)
        return latent, quantized.codes, quantized.distances, quantized.total


@pytest.mark.filterwarnings("ignore::FutureWarning")  # the exporter's own
def test_the_module_exports_to_onnx_for_any_batch_with_the_same_results(tmp_path: Path) -> None:
    module = Exported(small_quantizer()).eval()
    program = torch.onnx.export(
        module, (torch.randn(3, 5),), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False
    )
    assert program is not None
    program.model.ir_version = 10
    program.save(str(tmp_path / "quantizer.onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "quantizer.onnx", providers=["CPUExecutionProvider"])
    rows = torch.randn(11, 5)
    answers = session.run(None, {session.get_inputs()[0].name: rows.numpy()})
    for answer, expected in zip(answers, module(rows), strict=True):
        np.testing.assert_allclose(answer, expected.detach().numpy(), atol=1e-5)
