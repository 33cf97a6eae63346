"""The rows: overrides that fit every kind of data, inherited, and nothing but what they say."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ConfigError
from tests.runs import IMPORTED, TINY
from training.compare.rows import RECIPE, REFERENCE, merged, modalities_of, read_rows, wanted_rows
from training.config import RunConfig, read_config

ROWS = read_rows()
CONFIGS = sorted((Path(__file__).parents[3] / "training" / "configs").glob("*.toml"))
TEXTS = st.text("ab", max_size=1)
TABLES = st.dictionaries(TEXTS, st.dictionaries(TEXTS, st.integers()))


def config_of(text: str) -> RunConfig:
    return RunConfig.model_validate(tomllib.loads(text))


def changes(row: str, base: RunConfig) -> dict[str, Any]:
    """What a row's training differs in from the published method's, as dotted names."""

    def differences(one: Any, other: Any, name: str) -> dict[str, Any]:
        if isinstance(one, dict) and isinstance(other, dict):
            parts = [differences(one.get(key), other.get(key), f"{name}.{key}") for key in sorted(one | other)]
            return {key: value for part in parts for key, value in part.items()}
        return {} if one == other else {name[1:]: other}

    reference, own = (ROWS[name].config(base).model_dump() for name in (REFERENCE, row))
    return differences(reference, own, "")


COLLABORATIVE = """
[embed.modalities.collaborative]
kind = "cooccurrence"
"""


@pytest.mark.parametrize("text", [TINY + COLLABORATIVE, IMPORTED + COLLABORATIVE], ids=["trained", "imported"])
def test_company_in_histories_is_in_our_own_rows_and_in_no_published_one(text: str) -> None:
    base = config_of(text)
    known = {name: ROWS[name].config(base).embedded for name in ROWS if ROWS[name].missing(base) is None}
    known = {name: known[name] for name in known if ROWS[name].kind == "generator"}
    with_it = {name for name, embedded in known.items() if embedded and "collaborative" in embedded.modalities}
    assert with_it == {name for name in known if name.startswith("own")} - {"own-content"}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_row_that_applies_fits_every_configuration(path: Path) -> None:
    base = read_config(path)
    applicable = [row for row in ROWS.values() if row.missing(base) is None]
    assert {"popularity", "sasrec", "tiger"} <= {row.name for row in applicable}
    for row in applicable:
        row.evaluated(row.config(base))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("no-contrast", {"quantize.loss.contrast": 0.0}),
        ("contrast-first", {"quantize.loss.contrast_from": 1}),
        ("no-align", {"quantize.loss.alignment": 0.0}),
        ("no-implicit", {"generate.implicit_weight": 0.0}),
        ("no-explicit", {"generate.explicit": "none"}),
        ("macrec-bonus", {}),
        (
            "mql4grec",
            {"quantize.loss.contrast": 0.0, "quantize.loss.alignment": 0.0, "generate.implicit_weight": 0.0},
        ),
    ],
)
def test_a_part_that_is_left_out_is_all_that_changes(row: str, expected: dict[str, Any]) -> None:
    assert changes(row, config_of(TINY)) == expected


@pytest.mark.parametrize("layers", [2, 4])
def test_published_rows_decode_as_deep_as_they_encode_and_ours_in_one_layer(layers: int) -> None:
    """Whatever the configuration has: the paper's sizes are four and four, those of small sets two and one."""
    sizes = {"generate": {"sizes": {"encoder_layers": layers, "decoder_layers": 1 + layers // 4}}}
    base = RunConfig.model_validate(merged(config_of(TINY).model_dump(mode="json"), sizes))
    decoders = {name: ROWS[name].config(base).generate.sizes.decoder_layers for name in ROWS}
    assert {decoders[name] for name in decoders if ROWS[name].like == REFERENCE or name in (REFERENCE, "tiger")} == {
        layers
    }
    ours = {name: decoders[name] for name in decoders if ROWS[name].like == RECIPE or name == RECIPE}
    assert ours.pop("own-two-layers") == 2
    assert set(ours.values()) == {1}


def test_what_counts_after_training_only_is_not_trained_with() -> None:
    base = config_of(TINY)
    row = ROWS["macrec-bonus"]
    assert row.config(base) == ROWS[REFERENCE].config(base)
    assert row.evaluated(row.config(base)).fusion.rule == "bonus"


def test_tiger_knows_text_alone_wherever_the_ids_come_from() -> None:
    for text in (TINY, IMPORTED):
        assert modalities_of(ROWS["tiger"].config(config_of(text))) == ("text",)
        assert modalities_of(ROWS[REFERENCE].config(config_of(text))) == ("text", "image")


def test_a_row_says_why_it_does_not_apply() -> None:
    only_text = config_of("[embed.modalities.text]\nkind = 'tfidf'")
    assert ROWS[REFERENCE].missing(only_text) == "the data has no image"
    assert ROWS["no-contrast"].missing(config_of(IMPORTED)) == "the data brings its semantic IDs"
    assert ROWS["no-implicit"].missing(config_of(IMPORTED)) is None


def test_a_file_adds_rows_and_replaces_them(tmp_path: Path) -> None:
    more = tmp_path / "rows.toml"
    more.write_text(
        "[own]\ntitle = 'mine'\nwhat = 'x'\nkind = 'generator'\nlike = 'no-implicit'\n"
        "[own.overrides]\ngenerate.label_smoothing = 0.1\n[other]\ntitle = 'o'\nwhat = 'x'\nkind = 'baseline'\n"
    )
    rows = read_rows(more)
    assert list(rows) == [*ROWS, "other"]
    own = rows["own"].config(config_of(TINY)).generate
    assert (own.label_smoothing, own.implicit_weight, own.explicit) == (0.1, 0.0, "all")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[a]\ntitle = 'a'\nwhat = 'a'\nkind = 'magic'", "row 'a'.*kind"),
        ("[a]\ntitle = 'a'\nwhat = 'a'\nkind = 'generator'\nlike = 'b'", "row 'a' is like 'b', which is no row"),
        ("[a]\ntitle = 'a'\nwhat = 'a'\nkind = 'generator'\nlike = 'a'", "row 'a' is like 'a', which is no row"),
        ("a = 1", "row 'a'"),
        ("[a", "Expected"),
    ],
)
def test_a_file_that_describes_no_rows_is_refused(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "rows.toml").write_text(text)
    with pytest.raises(ConfigError, match=f"(?s){named}"):
        read_rows(tmp_path / "rows.toml")


def test_an_override_that_does_not_fit_names_its_row(tmp_path: Path) -> None:
    (tmp_path / "rows.toml").write_text(
        "[a]\ntitle = 'a'\nwhat = 'a'\nkind = 'generator'\n[a.overrides]\ngenerate.magic = 1\n"
    )
    with pytest.raises(ConfigError, match=r"(?s)row 'a' does not fit.*generate\.magic"):
        read_rows(tmp_path / "rows.toml")["a"].config(config_of(TINY))


def test_unknown_names_are_refused_with_those_that_exist() -> None:
    assert wanted_rows(ROWS, []) == list(ROWS)
    with pytest.raises(ConfigError, match=r"no row 'magic'; there are .*'popularity'"):
        wanted_rows(ROWS, ["macrec", "magic"])


@given(TABLES, TABLES)
def test_overrides_win_and_the_rest_stays(settings: dict[str, dict[str, int]], over: dict[str, dict[str, int]]) -> None:
    result = merged(settings, over)
    assert set(result) == set(settings) | set(over)
    assert all(result[name] == settings.get(name, {}) | over.get(name, {}) for name in result)
    assert merged(result, over) == result
