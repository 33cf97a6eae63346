"""Dropout out of 16-bit draws behaves as dropout must."""

import pytest
import torch

from model.dropout import Dropout, dropout

ELEMENTS = 400_000


@pytest.fixture(autouse=True)
def fixed_random_numbers() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_the_rate_of_zeros_is_the_rate_asked_for(rate: float) -> None:
    zeros = (dropout(torch.ones(ELEMENTS), rate, training=True) == 0).double().mean().item()
    assert zeros == pytest.approx(rate, abs=5 * (rate * (1 - rate) / ELEMENTS) ** 0.5)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_what_is_kept_is_scaled_so_that_the_mean_stays(rate: float) -> None:
    x = torch.rand(ELEMENTS) + 1
    dropped = dropout(x, rate, training=True)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], x[kept] / (1 - rate))
    assert dropped.mean().item() == pytest.approx(x.mean().item(), rel=0.01)


def test_neighbours_out_of_one_draw_are_dropped_independently() -> None:
    """Four elements share a 64-bit draw; both are dropped as often as chance has it."""
    dropped = (dropout(torch.ones(ELEMENTS), 0.3, training=True) == 0).double().view(-1, 4)
    for first in range(4):
        for second in range(first):
            both = (dropped[:, first] * dropped[:, second]).mean().item()
            assert both == pytest.approx(0.09, abs=0.005)


def test_two_calls_drop_different_elements_and_one_seed_the_same() -> None:
    x = torch.ones(1000)
    first, second = dropout(x, 0.5, training=True), dropout(x, 0.5, training=True)
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(dropout(x, 0.5, training=True), first)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (5, 7), (2, 3, 4), (0, 4)])
def test_any_shape_and_number_of_elements_will_do(shape: tuple[int, ...]) -> None:
    assert dropout(torch.ones(shape), 0.1, training=True).shape == shape


def test_a_transposed_tensor_keeps_its_shape_and_values() -> None:
    x = torch.rand(40, 30).T + 1
    dropped = dropout(x, 0.5, training=True)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], x[kept] * 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_type_stays(dtype: torch.dtype) -> None:
    dropped = dropout(torch.ones(1000, dtype=dtype), 0.5, training=True)
    assert dropped.dtype == dtype
    assert set(dropped.tolist()) == {0.0, 2.0}


def test_the_gradient_is_zero_where_an_element_was_dropped_and_scaled_elsewhere() -> None:
    x = torch.ones(1000, requires_grad=True)
    dropped = dropout(x, 0.2, training=True)
    dropped.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert torch.equal(x.grad, dropped.detach())


def test_nothing_happens_outside_training_or_at_rate_zero() -> None:
    x = torch.rand(100)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x
    module = Dropout(0.5)
    assert not torch.equal(module(x), x)
    assert torch.equal(module.eval()(x), x)
