"""The objective term by term: against plain loops, against finite differences, and with each term switched off."""

from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from model.quantizer import CrossModalQuantizer, QuantizerConfig
from training import quantizer_loss
from training.contrast import NO_LABEL, draw_positives, info_nce, two_way_info_nce
from training.quantizer_loss import Batch, LossConfig, Losses, losses, quantization_loss

B, WIDTH = 12, 6
ALL_MODALITIES = ("text", "image", "sound")


def model_of(modalities: int) -> CrossModalQuantizer:
    """Double precision, so that finite differences tell something."""
    names = ALL_MODALITIES[:modalities]
    config = QuantizerConfig(
        modalities=names, inputs=(WIDTH,) * modalities, codes=4, projection=8, widths=(8,), latent=3
    )
    torch.manual_seed(0)
    model = CrossModalQuantizer(config).double()
    with torch.no_grad():
        for modality in range(modalities):
            model.part(modality).quantizer.codebooks.normal_(std=0.5)
    return model


def inputs_of(modalities: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(B, WIDTH, generator=generator, dtype=torch.float64) for _ in range(modalities))


def labels_of(modalities: int) -> Tensor:
    return torch.randint(0, 3, (modalities, B), generator=torch.Generator().manual_seed(2))


def cost(config: LossConfig, model: CrossModalQuantizer, labels: Tensor, seed: int = 0) -> Losses:
    count = len(model.config.modalities)
    batch = Batch(model(inputs_of(count)), labels)
    return losses(config, model.config.modalities, batch, torch.Generator().manual_seed(seed))


def only_contrast(level: int) -> LossConfig:
    """A weight of 1 for L_con from one level (0 is the first) on; reconstruction, which must stay, next to nothing."""
    return LossConfig(reconstruction=1e-30, quantization=0, contrast=1, contrast_from=level + 1, alignment=0)


def test_the_total_is_the_weighted_sum_of_its_terms() -> None:
    config = LossConfig(reconstruction=2, quantization=3, contrast=0.5, alignment=0.125)
    result = cost(config, model_of(2), labels_of(2))
    weights = {"reconstruction": 2, "quantization": 3, "contrast": 0.5, "alignment": 0.125}
    expected = sum(weights[name.split("/")[0]] * float(value) for name, value in result.terms.items())
    assert float(result.total.detach()) == pytest.approx(expected)
    assert set(result.terms) == {
        *(f"{kind}/{name}" for kind in ("reconstruction", "quantization") for name in ("text", "image")),
        *(f"contrast/{name}/{level}" for name in ("text", "image") for level in (3, 4)),
        "alignment/text-image",
    }


def test_reconstruction_and_quantization_are_their_formulas() -> None:
    model, labels = model_of(1), labels_of(1)
    (output,) = model(inputs_of(1))
    result = cost(LossConfig(), model, labels)
    error = (output.reconstruction - output.target).square().mean()
    torch.testing.assert_close(result.terms["reconstruction/text"], error.detach())
    gap = (output.quantized.codewords - output.quantized.residuals).square()
    per_level = torch.stack([1.25 * gap[:, level].mean() for level in range(4)])
    torch.testing.assert_close(result.terms["quantization/text"], per_level.mean().detach())


def test_the_codebooks_learn_from_the_codebook_error_and_the_latent_from_the_commitment() -> None:
    (output,) = model_of(1)(inputs_of(1))
    quantized = output.quantized
    rows = torch.arange(B)
    residuals, codewords = quantized.residuals, quantized.codewords
    by_residual, by_codeword = torch.autograd.grad(quantization_loss(quantized, rows, 0.25), (residuals, codewords))
    gap = 2 * (residuals - codewords).detach() / residuals.numel()
    torch.testing.assert_close(by_residual, 0.25 * gap)
    torch.testing.assert_close(by_codeword, -gap)


def test_positives_of_a_modality_come_from_the_other_modalitys_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []

    def recording(labels: Tensor, generator: torch.Generator) -> Tensor:
        positives = draw_positives(labels, generator)
        assert (labels[positives] == labels).all()
        asked.append(labels.tolist())
        return positives

    monkeypatch.setattr(quantizer_loss, "draw_positives", recording)
    labels = labels_of(2)
    result = cost(LossConfig(), model_of(2), labels)
    text, image = labels.tolist()
    assert asked == [image, image, text, text]
    alone = [sum(value == other for other in text) == 1 for value in text]
    assert float(result.with_positive["image"]) == pytest.approx(1 - sum(alone) / B)


def test_contrast_is_info_nce_of_the_residuals_entering_the_level() -> None:
    model, labels = model_of(2), labels_of(2)
    outputs = model(inputs_of(2))
    for level in range(4):
        result = cost(only_contrast(level), model, labels)
        positives = draw_positives(labels[1], torch.Generator().manual_seed(0))
        expected = info_nce(outputs[0].quantized.residuals[:, level], positives, 0.1)
        torch.testing.assert_close(result.terms[f"contrast/text/{level + 1}"], expected.detach())


def test_with_three_modalities_the_two_others_positives_are_averaged() -> None:
    model, labels = model_of(3), labels_of(3)
    outputs = model(inputs_of(3))
    result = cost(only_contrast(2), model, labels)
    generator = torch.Generator().manual_seed(0)
    expected = [
        info_nce(outputs[0].quantized.residuals[:, 2], draw_positives(labels[other], generator), 0.1)
        for other in (1, 2)
    ]
    torch.testing.assert_close(result.terms["contrast/text/3"], torch.stack(expected).mean().detach())
    assert {name for name in cost(LossConfig(), model, labels).terms if name.startswith("alignment")} == {
        "alignment/text-image",
        "alignment/text-sound",
        "alignment/image-sound",
    }


@pytest.mark.parametrize("level", [2, 3])
def test_contrast_at_the_deep_levels_reaches_the_encoder_with_the_true_gradient(level: int) -> None:
    """Codes are piecewise constant, so away from a switch the finite difference IS the gradient."""
    model, labels = model_of(2), labels_of(2)
    cost(only_contrast(level), model, labels).total.backward()  # type: ignore[no-untyped-call]
    for modality in range(2):
        for weight in model.part(modality).encoder.parameters():
            assert weight.grad is not None
            assert weight.grad.abs().max() > 1e-6
            place = weight.grad.abs().flatten().argmax()
            difference = _finite_difference(lambda: cost(only_contrast(level), model, labels).total, weight, place)
            assert float(weight.grad.flatten()[place]) == pytest.approx(difference, rel=1e-4)


def _finite_difference(function: Callable[[], Tensor], weight: Tensor, place: Tensor, step: float = 1e-6) -> float:
    flat = weight.data.view(-1)
    values = []
    for sign in (1, -1):
        flat[place] += sign * step
        values.append(float(function().detach()))
        flat[place] -= sign * step
    return (values[0] - values[1]) / (2 * step)


@pytest.mark.parametrize(
    ("off", "prefix"),
    [
        ({"reconstruction": 0}, "reconstruction"),
        ({"quantization": 0}, "quantization"),
        ({"contrast": 0}, "contrast"),
        ({"alignment": 0}, "alignment"),
    ],
)
def test_a_weight_of_zero_leaves_its_term_out(off: dict[str, float], prefix: str) -> None:
    terms = cost(LossConfig(**off), model_of(2), labels_of(2)).terms
    assert terms
    assert not [name for name in terms if name.startswith(prefix)]


def test_one_modality_has_nothing_to_contrast_or_align_with() -> None:
    result = cost(LossConfig(), model_of(1), labels_of(1))
    assert set(result.terms) == {"reconstruction/text", "quantization/text"}
    assert result.with_positive == {}


def test_imputed_rows_teach_nothing_in_their_modality() -> None:
    model, labels = model_of(2), labels_of(2)
    labels[1, :5] = NO_LABEL
    text, image = inputs_of(2)
    results = []
    for noise in (0.0, 9.0):
        changed = image.clone()
        changed[:5] += noise
        batch = Batch(model((text, changed)), labels)
        results.append(losses(LossConfig(), ("text", "image"), batch, torch.Generator().manual_seed(0)).terms)
    assert results[0] == results[1]
    own = model((text, image))[1]
    torch.testing.assert_close(
        results[0]["reconstruction/image"], F.mse_loss(own.reconstruction[5:], own.target[5:]).detach()
    )
    left, right = (output.quantized.total[5:] for output in model((text, image)))
    torch.testing.assert_close(results[0]["alignment/text-image"], two_way_info_nce(left, right, 0.1).detach())


def test_a_modality_that_nobody_in_the_batch_has_is_left_out() -> None:
    labels = labels_of(2)
    labels[1] = NO_LABEL
    terms = cost(LossConfig(), model_of(2), labels).terms
    assert set(terms) == {"reconstruction/text", "quantization/text", "contrast/text/3", "contrast/text/4"}


def test_an_objective_without_reconstruction_and_quantization_is_refused() -> None:
    with pytest.raises(ValidationError, match="cannot both be 0"):
        LossConfig(reconstruction=0, quantization=0)
