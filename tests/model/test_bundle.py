"""A bundle is whole, unchanged and of one ID space, or it does not load."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from model.bundle import Bundle, Manifest, space_hash, write_bundle
from model.catalog import Catalog
from model.catalog_header import SpaceSizes
from model.errors import BundleError
from model.semantic_ids import IdSpace

SPACE = IdSpace(("text", "image"), levels=2, codes=4)
SPACE_HASH = space_hash(SPACE, np.zeros(3))


def save_onnx(path: Path, space: IdSpace = SPACE, name: str = SPACE_HASH) -> None:
    model = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    onnx.helper.set_model_props(model, {"id_space": SpaceSizes.of(space).model_dump_json(), "space_hash": name})
    onnx.save(model, path)


def fill(folder: Path) -> None:
    save_onnx(folder / "generator.onnx")
    save_onnx(folder / "quantizer.onnx")
    (folder / "catalog").mkdir()
    codes = np.arange(12, dtype=np.uint8).reshape(2, 3, 2) % 4
    Catalog.build(SPACE, codes, [("a", {}), ("b", {}), ("c", {})], np.zeros(3, dtype=np.int32), SPACE_HASH).save(
        folder / "catalog"
    )


def write(folder: Path, filling: Callable[[Path], None] = fill, name: str = SPACE_HASH) -> Manifest:
    return write_bundle(
        folder,
        filling,
        space=SPACE,
        space_hash=name,
        config={"max_history": 20},
        metrics={"hr@10": 0.5},
        data_fingerprint="f",
        created_by="test",
    )


def test_a_written_bundle_loads_with_its_manifest_and_catalog(tmp_path: Path) -> None:
    manifest = write(tmp_path / "bundle")
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.manifest == manifest
    assert bundle.manifest.config == {"max_history": 20}
    assert len(bundle.catalog()) == 3
    assert set(manifest.files) >= {"generator.onnx", "quantizer.onnx", "catalog/codes.npy", "catalog/item_ids.bin"}
    assert manifest.files["generator.onnx"].startswith(manifest.model_hash)


def test_a_bundle_may_lack_a_quantizer(tmp_path: Path) -> None:
    def fill_imported(folder: Path) -> None:
        fill(folder)
        (folder / "quantizer.onnx").unlink()

    write(tmp_path / "bundle", fill_imported)
    assert Bundle.load(tmp_path / "bundle").quantizer is None


def test_a_graph_in_eight_bits_is_there_only_if_it_was_exported(tmp_path: Path) -> None:
    def filling(folder: Path) -> None:
        fill(folder)
        save_onnx(folder / "generator.int8.onnx")

    write(tmp_path / "without")
    write(tmp_path / "with", filling)
    assert Bundle.load(tmp_path / "with").search_graph("int8").name == "generator.int8.onnx"
    without = Bundle.load(tmp_path / "without")
    assert without.search_graph("float32") == without.generator
    with pytest.raises(BundleError, match=r"no generator\.int8\.onnx: export it with int8 = true"):
        without.search_graph("int8")


def test_a_failed_export_leaves_the_older_bundle_alone(tmp_path: Path) -> None:
    first = write(tmp_path / "bundle")

    def fail(folder: Path) -> None:
        fill(folder)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write(tmp_path / "bundle", fail)
    assert Bundle.load(tmp_path / "bundle").manifest == first
    second = write(tmp_path / "bundle")
    assert Bundle.load(tmp_path / "bundle").manifest == second
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("name", ["generator.onnx", "quantizer.onnx", "catalog/codes.npy", "catalog/metadata.bin"])
def test_a_changed_or_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / "bundle")
    path = tmp_path / "bundle" / name
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BundleError, match=name):
        Bundle.load(tmp_path / "bundle")
    path.unlink()
    with pytest.raises(BundleError, match=name):
        Bundle.load(tmp_path / "bundle")


@pytest.mark.parametrize("name", ["generator.onnx", "generator.int8.onnx", "quantizer.onnx"])
def test_parts_of_two_id_spaces_are_refused_with_both_numbers(tmp_path: Path, name: str) -> None:
    def fill_other_sizes(folder: Path) -> None:
        fill(folder)
        save_onnx(folder / name, IdSpace(("text", "image"), levels=2, codes=8))

    with pytest.raises(BundleError, match=f"{name} has codes = 8, the manifest codes = 4"):
        write(tmp_path / "bundle", fill_other_sizes)


@pytest.mark.parametrize("name", ["generator.onnx", "generator.int8.onnx", "quantizer.onnx"])
def test_parts_of_two_sets_of_codebooks_are_refused(tmp_path: Path, name: str) -> None:
    def fill_other_codebooks(folder: Path) -> None:
        fill(folder)
        save_onnx(folder / name, name="other")

    with pytest.raises(BundleError, match=f"{name} is of ID space other"):
        write(tmp_path / "bundle", fill_other_codebooks)


def test_a_catalog_of_another_space_is_refused(tmp_path: Path) -> None:
    def fill_for_another_run(folder: Path) -> None:
        fill(folder)
        for name in ("generator.onnx", "quantizer.onnx"):
            save_onnx(folder / name, name="other")

    with pytest.raises(BundleError, match=r"catalog\.json is of ID space .*, the manifest of other"):
        write(tmp_path / "bundle", fill_for_another_run, name="other")


def test_the_catalog_of_another_bundle_is_refused_on_loading(tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    manifest = json.loads((tmp_path / "bundle/manifest.json").read_text())
    (tmp_path / "bundle/manifest.json").write_text(json.dumps(manifest | {"space_hash": "other"}))
    with pytest.raises(BundleError, match="the manifest of other"):
        Bundle.load(tmp_path / "bundle")


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd"])
def test_a_manifest_cannot_reach_outside_the_bundle(tmp_path: Path, name: str) -> None:
    write(tmp_path / "bundle")
    manifest = json.loads((tmp_path / "bundle/manifest.json").read_text())
    manifest["files"][name] = "0" * 64
    (tmp_path / "bundle/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="outside the bundle"):
        Bundle.load(tmp_path / "bundle")


def test_a_bundle_can_be_moved(tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    shutil.move(tmp_path / "bundle", tmp_path / "elsewhere")
    assert len(Bundle.load(tmp_path / "elsewhere").catalog()) == 3


def test_the_space_hash_follows_sizes_and_codebooks() -> None:
    codebooks = np.zeros((2, 2, 4, 3), dtype=np.float32)
    other_sizes = IdSpace(("text", "image"), levels=2, codes=8)
    hashes = {
        space_hash(SPACE),
        space_hash(SPACE, codebooks),
        space_hash(SPACE, codebooks + 1),
        space_hash(other_sizes),
    }
    assert len(hashes) == 4


def test_a_bundles_version_follows_its_content_and_not_its_place(tmp_path: Path) -> None:
    write(tmp_path / "one")
    one = Bundle.load(tmp_path / "one")
    shutil.move(tmp_path / "one", tmp_path / "moved")
    assert Bundle.load(tmp_path / "moved").version == one.version

    def fill_otherwise(folder: Path) -> None:
        fill(folder)
        (folder / "popular.json").write_text("[]")

    write(tmp_path / "two", fill_otherwise)
    assert Bundle.load(tmp_path / "two").version != one.version


def test_a_bundle_loads_without_its_catalog_where_another_one_is_served(tmp_path: Path) -> None:
    write(tmp_path / "bundle")
    shutil.rmtree(tmp_path / "bundle" / "catalog")
    with pytest.raises(BundleError, match="catalog"):
        Bundle.load(tmp_path / "bundle")
    assert Bundle.load(tmp_path / "bundle", with_catalog=False).manifest.space_hash == SPACE_HASH


def test_every_user_may_read_a_bundle_whatever_wrote_its_files(tmp_path: Path) -> None:
    def fill_privately(folder: Path) -> None:
        fill(folder)
        (folder / "codebooks.safetensors").write_bytes(b"private")
        (folder / "codebooks.safetensors").chmod(0o600)
        (folder / "catalog").chmod(0o700)

    write(tmp_path / "bundle", fill_privately)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "bundle").rglob("*")}
    assert modes["codebooks.safetensors"] & 0o044 == 0o044
    assert modes["catalog"] & 0o055 == 0o055
