"""The truth about the items: even, and independent between what text shows and what pictures show."""

import numpy as np

from training.sample.factors import CATEGORIES, CATEGORY_KEYS, FACTORS, draw_factors


def test_categories_and_values_are_spread_evenly() -> None:
    factors = draw_factors(720, seed=1)
    assert np.bincount(factors.category).tolist() == [60] * 12
    for column, factor in enumerate(FACTORS):
        for category in range(12):
            counts = np.bincount(factors.values[factors.category == category, column], minlength=len(factor.values))
            assert counts.max() - counts.min() <= 1


def test_a_text_factor_tells_nothing_of_an_image_factor() -> None:
    values = draw_factors(7200, seed=1).values
    for first, text in enumerate(FACTORS):
        for second, image in enumerate(FACTORS):
            if (text.modality, image.modality) != ("text", "image"):
                continue
            table = np.zeros((len(text.values), len(image.values)))
            np.add.at(table, (values[:, first], values[:, second]), 1)
            expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum()
            chi_square = ((table - expected) ** 2 / expected).sum()
            freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
            assert chi_square < freedom + 4 * np.sqrt(2 * freedom)


def test_every_category_leads_to_three_others() -> None:
    for category in CATEGORIES:
        assert len(set(category.next) - {category.key}) == 3
        assert set(category.next) <= set(CATEGORY_KEYS)
