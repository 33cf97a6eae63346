"""K-means labels: who gets one, and how many there are."""

import numpy as np
import pytest

from training.contrast import NO_LABEL
from training.pseudo_labels import PseudoLabelConfig, default_clusters, pseudo_labels


def blobs(per_blob: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rng = np.random.default_rng(0)
    centres = np.repeat(10 * np.eye(3, 4, dtype=np.float32), per_blob, axis=0)
    return centres + rng.normal(0, 0.1, centres.shape).astype(np.float32)


@pytest.mark.parametrize("minibatch_above", [1_000, 10])
def test_clusters_are_found_with_and_without_minibatches(minibatch_above: int) -> None:
    config = PseudoLabelConfig(clusters=3, starts=3, minibatch_above=minibatch_above, minibatch=64)
    labels = pseudo_labels(config, blobs(30), np.ones(90, dtype=bool), seed=0)
    assert sorted(np.bincount(labels).tolist()) == [30, 30, 30]
    assert all(len(set(labels[start : start + 30].tolist())) == 1 for start in (0, 30, 60))


def test_imputed_rows_get_no_label_and_shape_no_cluster() -> None:
    embeddings = blobs(10)
    present = np.ones(30, dtype=bool)
    present[:4] = False
    config = PseudoLabelConfig(clusters=3, starts=2)
    expected = pseudo_labels(config, embeddings, present, seed=0)
    embeddings[:4] = 1e6
    labels = pseudo_labels(config, embeddings, present, seed=0)
    assert (labels[:4] == NO_LABEL).all()
    assert (labels == expected).all()
    assert len(set(labels[4:].tolist())) == 3


def test_identical_items_share_a_label_without_a_warning() -> None:
    labels = pseudo_labels(PseudoLabelConfig(clusters=5), np.ones((20, 3), dtype=np.float32), np.ones(20, bool), 0)
    assert len(set(labels.tolist())) == 1


@pytest.mark.parametrize(("items", "clusters"), [(5, 2), (720, 60), (6250, 512), (1_000_000, 512)])
def test_k_scales_down_with_the_catalog(items: int, clusters: int) -> None:
    assert default_clusters(items) == clusters
