"""Titles and descriptions, written from the text factors and nothing else."""

from typing import NamedTuple

import numpy as np

from training.sample.vocabulary import (
    BRAND_SENTENCES,
    CATEGORY_WORDS,
    COLLECTION_WORDS,
    PRICE_LEVEL,
    CategoryWords,
)

OPENINGS = (
    "{article} {item} from the {label} collection with {feature}.",
    "This {item} from the {label} collection has {feature}.",
    "Part of the {label} collection, this {item} comes with {feature}.",
    "{article} {item} for every day, made for the {label} collection, with {feature} and {other}.",
    "With {feature} and {other}, this {item} from the {label} collection thinks of the details.",
    "New in the {label} collection: {article} {item} with {feature}.",
    "From the {label} collection comes {article} {item} that combines {feature} and {other}.",
)
TITLES = (
    "{brand} {label} {noun} \u201c{name}\u201d",
    "{brand} {label} {noun} \u201c{name}\u201d in {material}",
    "{label} {noun} \u201c{name}\u201d by {brand}",
)
PRICE_SPREAD = 0.12


class Listing(NamedTuple):
    """What the shop writes about an item; the price is in the shop's currency."""

    title: str
    text: str
    material: str
    price: float


def write_listing(
    category: str, collection: str, brand: str, edition: int, base_price: float, rng: np.random.Generator
) -> Listing:
    """Writes an item's listing.

    Args:
        category: a key of CATEGORY_WORDS.
        collection: a key of COLLECTION_WORDS.
        brand: a key of BRAND_SENTENCES.
        edition: the how-manieth item of this category and collection it is, so that titles differ.
        base_price: the category's usual price.
        rng: chooses the words.
    """
    words, label = CATEGORY_WORDS[category], COLLECTION_WORDS[collection].label
    material = _pick(words.materials, rng)
    style = _pick(TITLES, rng)
    title = style.format(
        brand=brand, label=label, noun=words.noun.title(), name=_name(collection, edition), material=material
    )
    sentences = [
        _opening(words, label, material, rng),
        _pick(COLLECTION_WORDS[collection].sentences, rng).format(noun=words.pronoun),
        _pick(BRAND_SENTENCES[brand], rng),
    ]
    return Listing(title, " ".join(sentences), material, _price(base_price * PRICE_LEVEL[brand], rng))


def _opening(words: CategoryWords, label: str, material: str, rng: np.random.Generator) -> str:
    item = words.item.format(material=material)
    feature, other = (words.features[index] for index in rng.permutation(len(words.features))[:2])
    article = "an" if item[0] in "aeiou" else "a"
    opening = _pick(OPENINGS, rng)
    return _capital(opening.format(article=article, item=item, label=label, feature=feature, other=other))


def _name(collection: str, edition: int) -> str:
    """The collection's model names in turn; when they run out, they come again with a number."""
    names = COLLECTION_WORDS[collection].names
    series, index = divmod(edition, len(names))
    return names[index] if series == 0 else f"{names[index]} No. {series + 1}"


def _price(usual: float, rng: np.random.Generator) -> float:
    """A price near the usual one that ends in .90, or in a whole number from 100 up."""
    price = usual * float(np.exp(rng.normal(0.0, PRICE_SPREAD)))
    return float(round(price)) if price >= 100 else round(max(1, round(price)) - 0.1, 2)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _pick(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
