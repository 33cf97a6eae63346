"""Properties are read from real ONNX files, whatever else stands in them."""

from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import BundleError
from model.onnx_metadata import read_metadata


def save(path: Path, properties: dict[str, str]) -> None:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [value], [result])
    model = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, path)


@settings(max_examples=50, deadline=None)
@given(properties=st.dictionaries(st.text(max_size=9), st.text(max_size=300), max_size=5))
def test_properties_are_those_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, properties: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    save(path, properties)
    assert read_metadata(path) == properties


@pytest.mark.parametrize("content", [b"", b"\xff" * 10, b"\x72\x7f\x00", b"{}"])
def test_a_file_that_is_no_onnx_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"broken\.onnx"):
        read_metadata(tmp_path / "broken.onnx")


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    save(tmp_path / "model.onnx", {"a": "b" * 100})
    content = (tmp_path / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(content[:-3])
    with pytest.raises(BundleError, match=r"model\.onnx"):
        read_metadata(tmp_path / "model.onnx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"absent\.onnx"):
        read_metadata(tmp_path / "absent.onnx")
