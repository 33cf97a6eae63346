"""What the service's tests share: one exported bundle, and an application of one's own on it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.bundles import write_test_bundle
from tests.searches import SHAPES
from tests.serving import Start, wait_until_ready


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small real bundle; nobody may change it."""
    return write_test_bundle(tmp_path_factory.mktemp("exported") / "bundle")


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of small real bundles of different shapes; nobody may change them."""
    return {name: write_test_bundle(tmp_path_factory.mktemp(name) / "bundle", shape) for name, shape in SHAPES.items()}


@pytest.fixture
def settings(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Makes settings that do not depend on the environment."""
    monkeypatch.delenv("REDIS_URL", raising=False)

    def make(**values: Any) -> Settings:
        isolated = {"bundle": bundle, "catalog_cache": tmp_path / "cache", "state": None, "deadline": 30.0}
        return Settings(**{**isolated, **values})

    return make


@pytest.fixture
def start(settings: Callable[..., Settings]) -> Iterator[Start]:
    """Starts an application with given settings, waits until it is ready, and returns a client of it."""
    with ExitStack() as stack:

        def make(*, wait: bool = True, **values: Any) -> TestClient:
            client = stack.enter_context(TestClient(create_app(settings(**values)), raise_server_exceptions=False))
            if wait:
                wait_until_ready(client)
            return client

        yield make
