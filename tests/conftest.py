"""What tests of several folders share because making it takes seconds."""

from pathlib import Path

import pytest

from tests.live_bundles import write_live_bundle


@pytest.fixture(scope="session")
def live_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small real bundle that can place new items; nobody may change it."""
    return write_live_bundle(tmp_path_factory.mktemp("live") / "bundle")


@pytest.fixture(scope="session")
def retrained_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one of another ID space, with other encoders and fewer items."""
    return write_live_bundle(tmp_path_factory.mktemp("retrained") / "bundle", items=15, seed=5)
