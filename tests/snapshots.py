"""Snapshots as the service makes them, of a bundle and a catalog in memory."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from model.bundle import Bundle
from model.codewords import Codewords
from model.fusion import FusionConfig
from model.live_catalog import LiveCatalog
from service.engine import Engine
from service.snapshot import Snapshot


def make_snapshot(
    bundle: Bundle, engine: Engine, catalog: LiveCatalog, trained: NDArray[np.bool_] | None = None
) -> Snapshot:
    """The catalog, ready to be searched, of which the generator saw the items ``trained`` ``(N,)``, or all."""
    seen = np.ones(len(catalog), dtype=np.bool_) if trained is None else trained
    trie, codewords = engine.prepare(catalog.trie, seen), Codewords.of(catalog.base, None)
    return Snapshot(bundle, engine, catalog, trie, codewords, FusionConfig(), "bundle", datetime.now(UTC))
