"""Manifests from outside are believed only as far as they can be checked."""

from pathlib import Path

import pytest

from model.catalog import Catalog
from model.errors import BundleError
from model.published import Published
from model.release import VersionKey


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "a/../../outside", ""])
def test_a_manifest_may_not_lead_out_of_its_folder(name: str, old: Path) -> None:
    published = Published.of_catalog(old / "catalog")
    manifest = published.model_dump_json().replace('"codes.npy"', f'"{name}"')
    with pytest.raises(BundleError, match="no path inside its folder"):
        Published.parse(published.key, manifest.encode())


def test_a_manifest_under_another_versions_name_is_refused(old: Path) -> None:
    manifest = Published.of_catalog(old / "catalog").model_dump_json().encode()
    with pytest.raises(BundleError, match="describes catalog/"):
        Published.parse(VersionKey("catalog", "0" * 16), manifest)
    with pytest.raises(BundleError, match="describes catalog/"):
        Published.parse(VersionKey("bundle", Catalog.load(old / "catalog").version), manifest)
