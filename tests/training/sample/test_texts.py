"""Listings: complete sentences that show the text factors and none of the image factors."""

import re

import numpy as np
import pytest

from training.sample.factors import FACTORS
from training.sample.texts import write_listing
from training.sample.vocabulary import BRAND_SENTENCES, CATEGORY_WORDS, COLLECTION_WORDS, PRICE_LEVEL

COLOURS = """red orange yellow amber gold golden green olive leafy mint teal turquoise cyan blue navy azure
    indigo violet purple lilac lavender pink rose magenta crimson scarlet coral brown beige tan cream
    ivory white grey gray graphite charcoal black silver bronze copper colour colours coloured color
    colors tint hue pastel bright dark pale"""
PATTERNS = """plain stripe stripes striped dot dots dotted spotted check checks checked checkered gingham plaid dipped
    pattern patterns patterned two-tone print printed"""
SILHOUETTES = """round rounded circular oval square rectangular straight angular boxy tapered tapering conical slim
    slender curved curvy silhouette pear-shaped spherical"""
BANNED = frozenset(f"{COLOURS} {PATTERNS} {SILHOUETTES}".split())


def _everything_the_shop_can_write() -> list[str]:
    texts = []
    for words in CATEGORY_WORDS.values():
        texts += [words.noun, words.item, words.pronoun, *words.materials, *words.features]
    for collection in COLLECTION_WORDS.values():
        texts += [collection.label, *collection.names, *collection.sentences]
    for sentences in BRAND_SENTENCES.values():
        texts += sentences
    rng = np.random.default_rng(0)
    for category in CATEGORY_WORDS:
        listings = [write_listing(category, "coast", "Velgard", edition, 50, rng) for edition in range(40)]
        texts += [f"{listing.title} {listing.text}" for listing in listings]
    return texts


@pytest.mark.parametrize("text", [pytest.param(" ".join(_everything_the_shop_can_write()), id="everything")])
def test_no_word_of_the_shop_names_a_colour_a_pattern_or_a_silhouette(text: str) -> None:
    assert BANNED.isdisjoint(re.findall(r"[a-z-]+", text.lower()))


def test_the_words_cover_the_text_factors() -> None:
    values = {factor.name: set(factor.values) for factor in FACTORS}
    assert set(COLLECTION_WORDS) == values["collection"]
    assert set(BRAND_SENTENCES) == set(PRICE_LEVEL) == values["brand"]


@pytest.mark.parametrize("category", CATEGORY_WORDS)
@pytest.mark.parametrize("collection", COLLECTION_WORDS)
def test_a_listing_names_its_collection_and_brand_in_three_sentences(category: str, collection: str) -> None:
    rng = np.random.default_rng(1)
    for brand in BRAND_SENTENCES:
        listing = write_listing(category, collection, brand, 0, 50, rng)
        sentences = re.split(r"(?<=[.])\s", listing.text)
        assert len(sentences) == 3
        assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in sentences)
        assert f"{COLLECTION_WORDS[collection].label} collection" in sentences[0]
        assert listing.material in sentences[0]
        assert brand in listing.title
        assert COLLECTION_WORDS[collection].label in listing.title
        assert "{" not in listing.title + listing.text


@pytest.mark.parametrize("category", CATEGORY_WORDS)
def test_articles_agree(category: str) -> None:
    rng = np.random.default_rng(2)
    for edition in range(60):
        text = write_listing(category, "coast", "Velgard", edition, 50, rng).text
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", text)


def test_titles_stay_distinct_when_the_names_run_out() -> None:
    rng = np.random.default_rng(3)
    titles = {write_listing("mug", "coast", "Velgard", edition, 50, rng).title for edition in range(40)}
    assert len(titles) == 40


def test_dear_brands_cost_more() -> None:
    def mean_price(brand: str) -> float:
        return float(
            np.mean([write_listing("lamp", "coast", brand, 0, 80, np.random.default_rng(i)).price for i in range(50)])
        )

    assert mean_price("Velgard") > mean_price("Oskelby") > mean_price("Pellworth")
