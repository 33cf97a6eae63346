"""Single operators of a graph do what torch does in their place, and are single operators."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from model.onnx_operators import attention, divide, log_sigmoid, number, take
from training.onnx_search import export_graph, open_graph

HEADS, D_HEAD = 3, 4
FREE = torch.export.Dim.DYNAMIC


class Everything(nn.Module):
    """One call of each operation."""

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        bias: Tensor,
        numbers: Tensor,
        places: Tensor,
        table: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        mixed = attention(queries, keys, values, bias, HEADS)
        divided = divide(places, number(keys.shape[1], places.device))
        return mixed, take(numbers, places), divided, take(table, places), log_sigmoid(100 * values)


INPUTS = ("queries", "keys", "values", "bias", "numbers", "places", "table")
OUTPUTS = ("mixed", "taken", "divided", "rows", "logarithms")
SHAPES = (*({0: FREE, 1: FREE},) * 3, {0: FREE, 3: FREE}, {0: FREE}, {0: FREE, 1: FREE}, {0: FREE})


def inputs_of(rows: int, queries: int, keys: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(seed)
    inner = HEADS * D_HEAD

    def normal(*shape: int) -> NDArray[np.float32]:
        return random.standard_normal(shape).astype(np.float32)

    return {
        "queries": normal(rows, queries, inner),
        "keys": normal(rows, keys, inner),
        "values": normal(rows, keys, inner),
        "bias": normal(rows, 1, 1, keys),
        "numbers": random.integers(0, 256, 1 + 7 * keys).astype(np.uint8),
        "places": random.integers(0, 1 + 7 * keys, (rows, queries)),
        "table": normal(1 + 7 * keys, 2, 3),
    }


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("graph") / "everything.onnx"
    example = tuple(torch.from_numpy(each) for each in inputs_of(2, 3, 5).values())
    export_graph(Everything(), example, path, {}, INPUTS, OUTPUTS, SHAPES)
    return path


def test_each_is_one_operator(graph: Path) -> None:
    operators = Counter(node.op_type for node in onnx.load(graph).graph.node)
    counts = {name: operators[name] for name in ("Attention", "Gather", "Div", "Softplus", "Range")}
    assert counts == {"Attention": 1, "Gather": 2, "Div": 1, "Softplus": 1, "Range": 1}
    assert not {"Softmax", "MatMul", "GatherND", "Floor", "Exp"} & set(operators)


@pytest.mark.parametrize(("rows", "queries", "keys"), [(1, 1, 1), (2, 3, 5), (4, 20, 81), (40, 1, 4)])
def test_the_graph_equals_torch(graph: Path, rows: int, queries: int, keys: int) -> None:
    feed = inputs_of(rows, queries, keys, seed=rows)
    mixed, taken, divided, of_places, logarithms = open_graph(graph).run(OUTPUTS, feed)
    expected = Everything()(*(torch.from_numpy(each) for each in feed.values()))
    np.testing.assert_allclose(mixed, expected[0].numpy(), atol=1e-5)
    np.testing.assert_array_equal(taken, expected[1].numpy())
    np.testing.assert_array_equal(divided, expected[2].numpy())
    np.testing.assert_array_equal(of_places, expected[3].numpy())
    np.testing.assert_allclose(logarithms, expected[4].numpy(), rtol=1e-6, atol=1e-30)
    assert taken.dtype == np.uint8


def test_attention_is_the_sum_that_its_definition_says() -> None:
    feed = inputs_of(2, 3, 5)
    queries, keys, values = (feed[name].reshape(2, -1, HEADS, D_HEAD) for name in INPUTS[:3])
    tensors = [torch.from_numpy(feed[name]) for name in INPUTS[:4]]
    mixed = attention(tensors[0], tensors[1], tensors[2], tensors[3], HEADS).numpy().reshape(2, 3, HEADS, D_HEAD)
    for row, query, head in np.ndindex(2, 3, HEADS):
        weights = np.exp([queries[row, query, head] @ key for key in keys[row, :, head]] + feed["bias"][row, 0, 0])
        expected = sum(
            weight * value for weight, value in zip(weights / weights.sum(), values[row, :, head], strict=True)
        )
        np.testing.assert_allclose(mixed[row, query, head], expected, rtol=1e-4, atol=1e-5)


@settings(deadline=None)
@given(numbers=st.lists(st.integers(0, 2**40), min_size=1), by=st.integers(1, 2**20))
def test_numbers_are_divided_as_python_divides_them(numbers: list[int], by: int) -> None:
    assert divide(torch.tensor(numbers), torch.tensor([by])).tolist() == [number // by for number in numbers]


@pytest.mark.parametrize("x", [-1e4, -30.0, -1.0, 0.0, 1.0, 30.0, 1e4])
def test_the_logarithm_of_a_probability_overflows_nowhere(x: float) -> None:
    expected = -np.log1p(np.exp(-x)) if x > -700 else x
    assert log_sigmoid(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-12)
