"""Terms: words of many scripts, weights of the fields, runs of words."""

import pytest

from model.encoders.terms import TermConfig, count_terms, terms, words
from training.items import Item


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Toy Story (1995)", ["toy", "story", "1995"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("Cafe\u0301 CAFÉ", ["café", "café"]),
        ("\ufb01ne \uff21\uff22\uff23", ["fine", "abc"]),
        ("гитара, Гитара!", ["гитара", "гитара"]),
        ("हिन्दी गिटार", ["हिन्दी", "गिटार"]),
        ("กีตาร์", ["กีตาร์"]),
        ("電気ギター set", ["電気", "気ギ", "ギタ", "ター", "set"]),
        ("弦", ["弦"]),
        ("snake_case", ["snake", "case"]),
        ("🎸 — …", []),
        ("", []),
    ],
)
def test_words_of_any_script_are_found_whole(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_runs_of_words_follow_the_words() -> None:
    assert list(terms("a b c", 3)) == ["a", "b", "c", "a b", "b c", "a b c"]


def test_a_term_counts_by_the_weight_of_its_field() -> None:
    item = Item(id="1", title="red guitar", text="a guitar", category=("Guitar",))
    counts = count_terms(item, TermConfig(title=3, category=10, text=1))
    assert counts == {"red": 3, "guitar": 14, "a": 1}


def test_a_field_of_weight_0_is_left_out() -> None:
    item = Item(id="1", title="red", text="blue", category=("green",))
    assert count_terms(item, TermConfig(title=0, category=0)) == {"blue": 1}


def test_no_run_crosses_from_one_field_or_category_to_the_next() -> None:
    item = Item(id="1", title="a", text="b", category=("c", "d"))
    assert set(count_terms(item, TermConfig(longest_run=2))) == {"a", "b", "c", "d"}
