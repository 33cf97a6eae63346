"""IDs without training: they equal residual K-means on the embeddings themselves, and export like any quantizer."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from model.quantizer import load_quantizer
from tests.training.embeddings_on_disk import write_embeddings
from training.embedded_items import EmbeddedItems, read_embedded_items
from training.fit_quantizer import REPORT_FILE, FitQuantizerConfig, run
from training.quantizer_quality import measure_quality
from training.residual_kmeans import residual_kmeans

CONFIG = FitQuantizerConfig(method="kmeans", codes=4, levels=2, latent=64, loss={"contrast": 0.0}, device="cpu")


def items_of(rows: int = 60, width: int = 5) -> EmbeddedItems:
    values = np.random.default_rng(0).normal(size=(rows, width)).astype(np.float32)
    return EmbeddedItems(("text",), (values,), np.ones((1, rows), dtype=bool))


def test_with_all_components_the_codes_are_those_of_kmeans_on_the_embeddings() -> None:
    """Turning a space keeps its distances, so the partition is that of the raw embeddings."""
    items = items_of()
    model = residual_kmeans(CONFIG, items)
    codes = model.part(0)(torch.from_numpy(items.embeddings[0])).quantized.codes[:, 0].numpy()
    inertia = KMeans(4, n_init=1, random_state=0).fit(items.embeddings[0]).inertia_
    centres = np.stack([items.embeddings[0][codes == code].mean(0) for code in range(4)])
    assert np.square(items.embeddings[0] - centres[codes]).sum() == pytest.approx(inertia, rel=0.1)


def test_the_decoder_gives_back_what_the_codes_keep() -> None:
    items = items_of()
    part = residual_kmeans(CONFIG, items).part(0)
    rows = torch.from_numpy(items.embeddings[0])
    target = part.standardiser(rows)
    torch.testing.assert_close(part.decoder(part.encode(rows)), target, rtol=1e-4, atol=1e-5)
    errors = [measure_quality(residual_kmeans(CONFIG.model_copy(update={"levels": levels}), items).part(0), rows,
              torch.ones(60, dtype=torch.bool)).reconstruction_error for levels in (1, 2, 3)]  # fmt: skip
    assert errors == sorted(errors, reverse=True)


def test_the_stage_writes_a_quantizer_and_a_report_and_learns_nothing_from_imputed_rows(tmp_path: Path) -> None:
    embeddings = write_embeddings(tmp_path / "embed")
    run(CONFIG, ("text", "image"), embeddings, tmp_path / "out")
    report = json.loads((tmp_path / "out" / REPORT_FILE).read_text())
    assert (report["method"], report["epochs"], report["items"], report["codes"]) == ("kmeans", 0, 60, 4)
    assert report["modalities"]["image"]["present"] == 55
    loaded = load_quantizer(tmp_path / "out")
    items = read_embedded_items(embeddings, ("text", "image"))
    items.embeddings[1][~items.present[1]] += 9
    again = residual_kmeans(CONFIG, items)
    assert torch.equal(loaded.part(1).quantizer.codebooks, again.part(1).quantizer.codebooks)
