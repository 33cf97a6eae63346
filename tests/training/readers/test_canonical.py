from pathlib import Path

import pytest

from model.errors import DataError
from training.bad_rows import RowRules
from training.readers.canonical import CanonicalConfig, read_canonical

EVENTS = "user,item,timestamp,rating\na,2,1,5\na,1,2,1\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "items.jsonl").write_text('{"id": 1}\n{"id": 2}\n')
    (tmp_path / "interactions.csv").write_text(EVENTS)
    return tmp_path


def test_events_point_into_the_items(data: Path) -> None:
    raw = read_canonical(data, CanonicalConfig(), RowRules())
    assert [raw.items[item].id for item in raw.events.items] == ["2", "1"]
    assert set(raw.files) == {"items.jsonl", "interactions.csv"}
    assert raw.images is None
    assert raw.filtered == {}


def test_low_ratings_are_filtered_and_counted(data: Path) -> None:
    raw = read_canonical(data, CanonicalConfig(min_rating=4), RowRules())
    assert len(raw.events) == 1
    assert raw.filtered == {"events below the minimum rating": 1}


def test_files_can_be_named(data: Path) -> None:
    (data / "items.jsonl").rename(data / "catalog.jsonl")
    (data / "interactions.csv").rename(data / "log.csv")
    (data / "posters").mkdir()
    config = CanonicalConfig(interactions="log.csv", items="catalog.jsonl", images="posters")
    raw = read_canonical(data, config, RowRules())
    assert (len(raw.events), len(raw.items)) == (2, 2)


@pytest.mark.parametrize(
    ("name", "message"), [("absent.csv", r"lacks absent\.csv"), ("items.jsonl", r"neither \.parquet nor \.csv")]
)
def test_a_named_file_that_cannot_be_used_is_an_error(data: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_canonical(data, CanonicalConfig(interactions=name), RowRules())


def test_no_or_two_interactions_files_are_an_error(data: Path) -> None:
    (data / "interactions.parquet").touch()
    with pytest.raises(DataError, match=r"has interactions\.parquet and interactions\.csv"):
        read_canonical(data, CanonicalConfig(), RowRules())
    for path in data.glob("interactions.*"):
        path.unlink()
    with pytest.raises(DataError, match=r"lacks interactions\.parquet or interactions\.csv"):
        read_canonical(data, CanonicalConfig(), RowRules())
