"""Publishing from tests of the service, as training does it, and what a service then answers with."""

from contextlib import closing
from pathlib import Path

from fastapi.testclient import TestClient

from model.catalog import Catalog
from model.registry import open_registry
from model.release import Release
from tests.bundles import item_id

POLL = 0.05


def publish(location: str | Path, catalog: Catalog, folder: Path) -> str:
    """Publishes a catalog; returns its version."""
    folder.mkdir()
    catalog.save(folder)
    with closing(open_registry(location)) as registry:
        return registry.publish(catalog=folder).catalog


def publish_bundle(location: str | Path, bundle: Path) -> Release:
    """Publishes a bundle with its catalog."""
    with closing(open_registry(location)) as registry:
        return registry.publish(bundle)


def version_of(client: TestClient) -> str:
    """The catalog that a recommendation comes from."""
    return versions_of(client)[1]


def versions_of(client: TestClient) -> tuple[str, str]:
    """The model and the catalog that a recommendation comes from."""
    response = client.post("/recommend", json={"history": [item_id(1)]})
    response.raise_for_status()
    answer = response.json()
    return answer["model_version"], answer["catalog_version"]
