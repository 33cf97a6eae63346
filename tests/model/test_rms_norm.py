"""Training's own norm is torch's, forwards and backwards."""

import pytest
import torch
from torch.nn import functional as F

from model.rms_norm import NORM_EPSILON, RMSNorm


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 3, 6), (0, 6)])
def test_values_and_gradients_are_torchs(shape: tuple[int, ...]) -> None:
    norm = RMSNorm(6).train()
    with torch.no_grad():
        norm.weight.copy_(draw(6, seed=1))
    x, theirs = draw(*shape, seed=2).requires_grad_(), draw(*shape, seed=2).requires_grad_()
    weight = norm.weight.detach().clone().requires_grad_()
    ours, expected = norm(x), F.rms_norm(theirs, (6,), weight, NORM_EPSILON)
    torch.testing.assert_close(ours, expected)
    for output in (ours, expected):
        output.backward(draw(*shape, seed=3))
    torch.testing.assert_close(x.grad, theirs.grad)
    torch.testing.assert_close(norm.weight.grad, weight.grad)


def test_a_row_of_zeros_stays_one_and_its_gradient_finite() -> None:
    x = torch.zeros(2, 4, requires_grad=True)
    normed = RMSNorm(4).train()(x)
    normed.sum().backward()
    assert torch.equal(normed, torch.zeros(2, 4))
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


def test_mixed_precision_gets_the_type_that_it_multiplies_in() -> None:
    norm, x = RMSNorm(4), draw(3, 4, seed=0).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trained, served = norm.train()(x), norm.eval()(x)
    assert trained.dtype == torch.bfloat16
    torch.testing.assert_close(trained.float(), served, atol=0.02, rtol=0.01)
    trained.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float32
